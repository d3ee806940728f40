"""Settings: what each is, and where it came from."""

from typing import Any

PAGES: tuple[tuple[str, str, Any], ...] = ()
