"""
The storage half of the contract: values, SQL, alarm and transactions of one object.

Public methods check and convert once, for every adapter, and call a few primitives that the
adapters implement. Source: facts/bindings.md D3 to D5.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, overload

from durable.values import MAX_VALUE_BYTES, encode, for_sqlite, stored_size

T = TypeVar("T")
Row = dict[str, Any]

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


class StorageOperations(ABC):
    """Values and the alarm: what `ctx.storage` and a transaction have in common."""

    @overload
    async def get(self, keys: str) -> Any: ...
    @overload
    async def get(self, keys: Sequence[str]) -> dict[str, Any]: ...
    async def get(self, keys: str | Sequence[str]) -> Any:
        """Return the value or None; for several keys a dict of those found, in key order."""
        if isinstance(keys, str):
            return await self._get_one("get", check_key(keys))
        wanted = sorted({check_key(k) for k in keys}, key=str.encode)
        return await self._get_many("get", wanted)

    @overload
    async def put(self, key: str, value: Any) -> None: ...
    @overload
    async def put(self, key: Mapping[str, Any]) -> None: ...
    async def put(self, key: str | Mapping[str, Any], value: Any = MISSING) -> None:
        """
        Store a value, or a mapping of values (its None values are passed over).

        Raises:
            TypeError: the value is None; DataCloneError when it is not plain data.
            ValueError: key and value together exceed 2 MB.
        """
        await self._put("put", entries_of(key, value))

    @overload
    async def delete(self, keys: str) -> bool: ...
    @overload
    async def delete(self, keys: Sequence[str]) -> int: ...
    async def delete(self, keys: str | Sequence[str]) -> bool | int:
        """Remove values; return whether there was one, or how many there were."""
        if isinstance(keys, str):
            return await self._delete("delete", [check_key(keys)]) > 0
        return await self._delete("delete", [check_key(k) for k in keys])

    async def list(
        self,
        *,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> dict[str, Any]:
        """
        Return keys and values in the order of the keys' UTF-8 bytes.

        `end` is exclusive. `reverse` turns the order round, not the meaning of start and end.

        Raises:
            TypeError: both start and start_after, or a limit below 1.
        """
        wanted = check_range(start, start_after, end, prefix, reverse, limit)
        return await self._list("list", wanted)

    async def get_alarm(self) -> int | None:
        """When the alarm rings, in epoch milliseconds; None without one or while it rings."""
        return await self._get_alarm("getAlarm")

    async def set_alarm(self, when: float | datetime) -> None:
        """Ring at *when* (epoch milliseconds or datetime); replaces the earlier alarm."""
        await self._set_alarm("setAlarm", check_alarm(when))

    async def delete_alarm(self) -> None:
        """Take the alarm back."""
        await self._set_alarm("deleteAlarm", None)

    # The first argument is the name of the operation, for the texts of errors.
    @abstractmethod
    async def _get_one(self, operation: str, key: str) -> Any: ...
    @abstractmethod
    async def _get_many(self, operation: str, keys: Sequence[str]) -> dict[str, Any]: ...
    @abstractmethod
    async def _put(self, operation: str, entries: Sequence[tuple[str, str | bytes]]) -> None: ...
    @abstractmethod
    async def _delete(self, operation: str, keys: Sequence[str]) -> int: ...
    @abstractmethod
    async def _list(self, operation: str, wanted: Range) -> dict[str, Any]: ...
    @abstractmethod
    async def _get_alarm(self, operation: str) -> int | None: ...
    @abstractmethod
    async def _set_alarm(self, operation: str, when: int | None) -> None: ...


class Transaction(StorageOperations):
    """The handle that `ObjectStorage.transaction` hands to its function."""

    @abstractmethod
    def rollback(self) -> None:
        """Undo everything the transaction did; afterwards every operation on it fails."""

    @abstractmethod
    async def delete_all(self) -> None:
        """Always fails: `Cannot call deleteAll() within a transaction`."""


class SyncKv(ABC):
    """The same values as `ObjectStorage`, without await (SQLite-backed classes only)."""

    @abstractmethod
    def get(self, key: str) -> Any:
        """Return the value or None."""

    @abstractmethod
    def put(self, key: str, value: Any) -> None:
        """Store *value*; errors as for `StorageOperations.put`."""

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Remove the value; return whether there was one."""

    @abstractmethod
    def list(
        self,
        *,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """Yield keys and values; arguments as for `StorageOperations.list`."""


class SqlCursor(ABC):
    """The rows of one statement: iterable once, as dicts."""

    column_names: list[str]
    rows_read: int
    rows_written: int

    @abstractmethod
    def __iter__(self) -> Iterator[Row]: ...
    @abstractmethod
    def next(self) -> Row | None:
        """Return the next row, or None after the last."""

    @abstractmethod
    def to_array(self) -> list[Row]:
        """Return the rows that are left."""

    @abstractmethod
    def one(self) -> Row:
        """Return the only row. SqlError when there is none or more than one."""

    @abstractmethod
    def raw(self) -> Iterator[list[Any]]:
        """Yield the rows that are left as lists of values (keeps duplicate columns)."""


class SqlStorage(ABC):
    """SQL on the object's own database."""

    @abstractmethod
    def exec(self, sql: str, *bindings: Any) -> SqlCursor:
        """
        Run one or several statements at once; bindings and rows belong to the last.

        Numbers bind as REAL (facts B2). A bool binds as the text 'true' or 'false', as at the
        edge: bind 1 and 0.

        Raises:
            SqlError: SQLite's text, or a wrong number of bindings.
            TypeError: a type that cannot be bound, or an int beyond 2**53.
        """

    @property
    @abstractmethod
    def database_size(self) -> int:
        """Size of the object's database in bytes."""


class ObjectStorage(StorageOperations):
    """Everything one object keeps. Writes are one transaction until the next thing leaves."""

    sql: SqlStorage
    kv: SyncKv

    @abstractmethod
    async def delete_all(self) -> None:
        """Remove all values, all SQL tables and the alarm."""

    @abstractmethod
    async def transaction(self, fn: Callable[[Transaction], Awaitable[T] | T]) -> T:
        """
        Run *fn*; keep all it wrote, or nothing when it raises or calls `rollback`.

        No other event of the object moves meanwhile (30 s at most, then the object is reset).
        """

    @abstractmethod
    def transaction_sync(self, fn: Callable[[], T]) -> T:
        """Run *fn*; keep all it wrote, or nothing when it raises. May nest."""

    @abstractmethod
    async def sync(self) -> None:
        """Return when all writes so far are durable."""
