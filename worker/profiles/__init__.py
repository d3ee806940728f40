"""Profiles: pseudonymous personas, imported as NDJSON and read by id (seed hi-stranger.md §3.2, §4)."""
