"""Encrypted backup: one slot per account, optimistic locking, a blob that nobody here can read."""
