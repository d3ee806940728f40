"""R2: buckets and their objects."""

from typing import Any

PAGES: tuple[tuple[str, str, Any], ...] = ()
