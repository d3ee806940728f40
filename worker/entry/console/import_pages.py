"""Imports: send an NDJSON file, watch it, read the report."""

from typing import Any

PAGES: tuple[tuple[str, str, Any], ...] = ()
