"""KV: the contract of a Workers KV namespace, and its adapters (embedded, redis, edge)."""
