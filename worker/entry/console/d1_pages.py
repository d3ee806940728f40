"""D1: tables, schema, a SQL box."""

from typing import Any

PAGES: tuple[tuple[str, str, Any], ...] = ()
