"""Crons: when they are due, and a button to run one now."""

from typing import Any

PAGES: tuple[tuple[str, str, Any], ...] = ()
