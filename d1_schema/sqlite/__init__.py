"""The SQLite engine that D1, KV and objects share on one machine."""
