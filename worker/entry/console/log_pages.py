"""The request log: its last lines, and a live tail."""

from typing import Any

PAGES: tuple[tuple[str, str, Any], ...] = ()
