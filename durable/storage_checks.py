"""Checks of storage calls: keys, values, ranges and times, the same for every adapter."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from d1_schema.values import MAX_SAFE_INTEGER, to_plain, without_surrogates
from durable.errors import TransactionError
from durable.values import MAX_VALUE_BYTES, encode, for_sqlite, stored_size

MAX_LIMIT: Final = 2**31 - 1
LAST_ALARM_MS: Final = (2**63 - 1) / 1_000_000
"""Cloudflare counts nanoseconds in 63 bits: until April 2262, whatever its text says."""

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
    if limit is not None and limit > MAX_LIMIT:
        raise TypeError(
            "Value out of range. Must be between -2147483648 and 2147483647 (inclusive)."
        )
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


def check_keys(keys: object) -> list[str]:
    """Return several *keys*. TypeError as for `check_key`, and for what cannot be several."""
    if isinstance(keys, (bytes, bytearray)) or not isinstance(keys, Iterable):
        raise TypeError(f"A key must be str, or several in a list, not {type(keys).__name__}.")
    return [check_key(key) for key in keys]


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
    """
    Return epoch milliseconds; naive datetimes are UTC.

    TypeError for 0 and below, for what is no time, and for what lies too far ahead.
    """
    if isinstance(when, datetime):
        aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        when = aware.timestamp() * 1000
    if isinstance(when, bool) or not isinstance(when, (int, float)):
        raise TypeError(f"An alarm time must be a number or datetime, not {type(when).__name__}.")
    if not math.isfinite(when):
        raise TypeError("The value cannot be converted because it is not a valid Date.")
    if when <= 0:
        raise TypeError("setAlarm() cannot be called with an alarm time <= 0")
    if when > LAST_ALARM_MS:
        raise TypeError("This API doesn't support dates after 2189.")
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


def check_sql(sql: object) -> str:
    """Return *sql*, a lone surrogate in it as U+FFFD. TypeError unless it is a str."""
    if not isinstance(sql, str):
        raise TypeError(f"SQL must be a str, not {type(sql).__name__}.")
    return sql if sql.isascii() else without_surrogates(sql)


def check_binding(value: Any) -> str | bytes | float | None:
    """
    Return *value* as an object binds it: as D1 does, but a bool is its text, and infinity stays.

    Raises:
        TypeError: a type that has no place in SQLite, or an int beyond 2**53.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and not -MAX_SAFE_INTEGER < value < MAX_SAFE_INTEGER:
        raise TypeError("Cannot convert a BigInt value to a number")
    if isinstance(value, float) and math.isinf(value):
        return value
    return to_plain(value)


def check_transaction(state: str, operation: str) -> None:
    """Raise TransactionError unless a transaction in *state* may still be used."""
    if state == "rolled back":
        raise TransactionError(f"Cannot {operation}() on rolled back transaction")
    if state == "committed":
        raise TransactionError(
            f"Cannot call {operation}() on transaction that has already committed: "
            "did you move `txn` outside of the closure?"
        )
