"""Accounts: registration, sign-in, sessions, roles (DESIGN §4; docs/accounts.md)."""
