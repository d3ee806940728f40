"""
Stored values as cells of a table: each tells its type, and what is cut says so.

Nothing here escapes: the templates do, and their filter `shown_lines` writes out what would be
invisible.
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from durable.values import decode

TEXT_CHARS: Final = 400
"""Characters of a text that a cell shows."""
BLOB_BYTES: Final = 32
"""Bytes of a blob that a cell shows, as hex."""
_SAFE_INTEGER: Final = 2**53
_DECODED_BYTES: Final = 65_536
"""Stored values up to here are read back; longer ones are shown as they lie in the file."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value: *kind* names its type, *note* says what *text* does not show."""

    kind: str
    text: str
    note: str = ""


def cell(value: Any, chars: int = TEXT_CHARS) -> Cell:
    """Show one value of SQLite: None, int, float, str or bytes."""
    if value is None:
        return Cell("null", "NULL")
    if isinstance(value, bytes):
        return _blob(value)
    if isinstance(value, int):
        is_exact = -_SAFE_INTEGER <= value <= _SAFE_INTEGER
        return Cell("integer", str(value), "" if is_exact else "a Worker sees it rounded")
    if isinstance(value, float):
        is_number = math.isfinite(value)
        return Cell("real", repr(value), "" if is_number else "a Worker sees null")
    return _text("text", str(value), chars)


def _blob(value: bytes) -> Cell:
    shown = value[:BLOB_BYTES].hex(" ", 4)
    size = f"{len(value):,} byte" + ("" if len(value) == 1 else "s")
    if len(value) > BLOB_BYTES:
        return Cell("blob", f"{shown} …", f"{size}, {BLOB_BYTES} shown")
    return Cell("blob", shown, size)


def _text(kind: str, text: str, chars: int) -> Cell:
    if text == "":
        return Cell(kind, "", "empty")
    if len(text) <= chars:
        return Cell(kind, text)
    return Cell(kind, text[:chars] + "…", f"{len(text):,} characters, {chars:,} shown")


def stored_cell(stored: str | bytes, chars: int = TEXT_CHARS) -> Cell:
    """Show a value of an object's storage, given in its stored form (durable/values.py)."""
    if isinstance(stored, bytes):
        return _blob(stored)
    if len(stored) > _DECODED_BYTES:
        return _text("json", stored, chars)
    try:
        value = decode(stored)
    except (ValueError, TypeError, KeyError, RecursionError):
        # A file that another program wrote into: show what lies there.
        return _text("unreadable", stored, chars)
    return plain_cell(value, chars)


def plain_cell(value: Any, chars: int = TEXT_CHARS) -> Cell:
    """Show plain data of Python (durable/values.py lists the types)."""
    if value is None:
        return Cell("none", "None")
    if isinstance(value, str):
        return _text("text", value, chars)
    if isinstance(value, bytes):
        return _blob(value)
    if isinstance(value, datetime):
        return Cell("time", value.isoformat())
    if isinstance(value, bool | int | float):
        return _text(type(value).__name__, repr(value), chars)
    kind = type(value).__name__
    count = f"{len(value):,} {'entry' if len(value) == 1 else 'entries'}"
    shown = _text(kind, _as_json(value), chars)
    return Cell(kind, shown.text, f"{count}; {shown.note}" if shown.note else count)


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=None, default=_readable)
    except (TypeError, ValueError, RecursionError):
        # Dictionaries with keys that JSON has no place for.
        return repr(value)


def _readable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return repr(value)
