"""Profiles: pseudonymous personas, imported as NDJSON, read by id (seed hi-stranger.md §3, §4)."""
