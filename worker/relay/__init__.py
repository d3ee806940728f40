"""The Signal relay: ciphertext from inbox to inbox over WebSockets, and the keys that begin it."""
