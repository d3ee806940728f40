"""
Values that cross the D1 contract: str, bytes, numbers, None, both ways.

Portable on purpose (no sqlite3), because the adapter at the edge needs the same
rules. Source: facts/bindings.md B2, measured.
"""

import math
from typing import Final

MAX_VALUE_BYTES: Final = 2_000_000
"""Longest text or blob, and longest row (Cloudflare's page of D1 limits)."""

MAX_SAFE_INTEGER: Final = 2**53
"""From here on a JavaScript number, and so D1, loses whole numbers."""

Parameter = str | bytes | float | None
"""What a statement is bound to, after `to_plain`."""

Value = str | bytes | int | float | None
"""What a column holds when it arrives."""

_SURELY_SHORT = MAX_VALUE_BYTES // 4  # characters; UTF-8 needs at most 4 bytes for each


def to_plain(value: object) -> Parameter:
    """
    Convert one parameter as D1 binds it: every number is a REAL.

    NaN and the infinities become None. A lone surrogate becomes U+FFFD.

    Raises:
        TypeError: the type cannot be bound; the text is D1's, without its prefix.
    """
    if isinstance(value, str):
        return value if value.isascii() else without_surrogates(value)
    if value is None or type(value) is bytes:
        return value
    if isinstance(value, (int, float)):
        if isinstance(value, int) and not -MAX_SAFE_INTEGER < value < MAX_SAFE_INTEGER:
            # At the edge such an int becomes a BigInt, and D1 refuses those.
            raise TypeError(f"Type 'bigint' not supported for value '{value}'")
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, list) and all(type(v) is int and 0 <= v <= 255 for v in value):
        return bytes(value)
    kind = "function" if callable(value) else "object"
    raise TypeError(f"Type '{kind}' not supported for value '{str(value)[:200]}'")


def without_surrogates(text: str) -> str:
    """Return *text* with U+FFFD in place of each half of a pair that lacks its other half."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def size_of(value: Parameter) -> int:
    """Bytes that *value* takes as a parameter; an upper bound for long text."""
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    return len(value) if isinstance(value, bytes) else 8


def is_too_big(value: Parameter) -> bool:
    """Whether *value* is longer than `MAX_VALUE_BYTES`."""
    if isinstance(value, str):
        return len(value) > _SURELY_SHORT and len(value.encode()) > MAX_VALUE_BYTES
    return isinstance(value, bytes) and len(value) > MAX_VALUE_BYTES


def from_plain(value: Value) -> Value:
    """
    Convert one result as a Python Worker receives it from D1, through JSON.

    Whole REALs arrive as int, integers beyond 2**53 as float, the infinities as
    None (SQLite has no NaN). Blobs stay bytes.
    """
    number = as_number(value)
    return None if isinstance(number, float) and math.isinf(number) else number


def as_number(value: Value) -> Value:
    """Return *value* with its number, if it is one, as JavaScript hands it to Python."""
    kind = type(value)
    if kind is str or value is None or kind is bytes:
        return value
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else float(value)
    assert isinstance(value, float)
    if value.is_integer() and -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return int(value)
    return value
