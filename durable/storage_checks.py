"""Checks of storage calls: keys, values, ranges and times, the same for every adapter."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from durable.errors import TransactionError
from durable.values import MAX_VALUE_BYTES, encode, for_sqlite, stored_size

MISSING: Any = object()
"""Stands for an argument that was not given."""


@dataclass(frozen=True, slots=True)
class Range:
    """Which keys `list` means, in the order of their UTF-8 bytes."""

    start: str | None
    start_after: str | None
    end: str | None
    """Exclusive."""
    prefix: str | None
    reverse: bool
    limit: int | None


def check_range(
    start: str | None,
    start_after: str | None,
    end: str | None,
    prefix: str | None,
    reverse: bool,
    limit: int | None,
) -> Range:
    """Return the range. TypeError for contradictions (texts: facts D3)."""
    if start is not None and start_after is not None:
        raise TypeError("list() cannot be called with both start and startAfter values.")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise TypeError("List limit must be positive.")
    for bound in (start, start_after, end, prefix):
        if bound is not None:
            check_key(bound)
    return Range(start, start_after, end, prefix, bool(reverse), limit)


def check_key(key: object) -> str:
    """Return *key*. TypeError unless it is text that has a UTF-8 form; "" is a key."""
    if type(key) is not str:
        raise TypeError(f"A key must be str, not {type(key).__name__}.")
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            raise TypeError("A key must be valid Unicode: it holds a lone surrogate.") from None
    return key


def check_entry(key: str, value: Any) -> tuple[str, str | bytes]:
    """
    Return *key* and the stored form of *value*.

    Raises:
        TypeError: *value* is None: get() answers None for "nothing stored".
        DataCloneError: *value* is not plain data.
        ValueError: both together exceed 2 MB.
    """
    if value is None or value is MISSING:
        raise TypeError("put() called with undefined value.")
    encoded = for_sqlite(encode(value))
    size = stored_size(encoded) + len(check_key(key).encode())
    if size > MAX_VALUE_BYTES:
        raise ValueError(
            f"Values cannot be larger than {MAX_VALUE_BYTES} bytes. "
            f"A key and value of {size} bytes were provided."
        )
    return key, encoded


def check_alarm(when: float | datetime) -> int:
    """Return epoch milliseconds. TypeError for 0 and below; naive datetimes are UTC."""
    if isinstance(when, datetime):
        aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        when = aware.timestamp() * 1000
    if isinstance(when, bool) or not isinstance(when, (int, float)):
        raise TypeError(f"An alarm time must be a number or datetime, not {type(when).__name__}.")
    if not when > 0:
        raise TypeError("setAlarm() cannot be called with an alarm time <= 0")
    return int(when)


def entries_of(key: Any, value: Any) -> list[tuple[str, str | bytes]]:
    """Check the two forms of put: one key and value, or a mapping whose None are left out."""
    if isinstance(key, Mapping):
        if value is not MISSING:
            raise TypeError(
                "put() may only be called with a single key-value pair and optional options as "
                "put(key, value, options) or with multiple key-value pairs and optional options "
                "as put(entries, options)"
            )
        return [check_entry(k, v) for k, v in key.items() if v is not None]
    return [check_entry(key, value)]


def check_transaction(state: str, operation: str) -> None:
    """Raise TransactionError unless a transaction in *state* may still be used."""
    if state == "rolled back":
        raise TransactionError(f"Cannot {operation}() on rolled back transaction")
    if state == "committed":
        raise TransactionError(
            f"Cannot call {operation}() on transaction that has already committed: "
            "did you move `txn` outside of the closure?"
        )
