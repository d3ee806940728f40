"""Durable Objects: actors with their own storage, alarm and WebSockets; contract and adapters."""
