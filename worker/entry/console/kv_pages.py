"""KV: namespaces, keys and values."""

from typing import Any

PAGES: tuple[tuple[str, str, Any], ...] = ()
