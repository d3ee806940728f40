"""
The storage half of the contract: values, SQL, alarm and transactions of one object.

Public methods check and convert once, for every adapter, and call a few primitives that the
adapters implement. Source: facts/bindings.md D3 to D5.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, overload

from durable.errors import SqlError
from durable.storage_checks import (
    MISSING,
    Range,
    check_alarm,
    check_key,
    check_keys,
    check_range,
    entries_of,
)

T = TypeVar("T")
Row = dict[str, Any]


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
        wanted = sorted(set(check_keys(keys)), key=str.encode)
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
        return await self._delete("delete", check_keys(keys))

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


class SqlCursor:
    """
    The rows of one statement: iterable once, as dicts.

    They were read at once: later writes cannot change what a cursor shows.
    """

    __slots__ = ("_next", "_rows", "column_names", "rows_read", "rows_written")

    def __init__(
        self, columns: list[str], rows: list[list[Any]], rows_read: int, rows_written: int
    ) -> None:
        self.column_names = columns
        self.rows_read = rows_read
        self.rows_written = rows_written
        self._rows = rows
        self._next = 0

    def __iter__(self) -> Iterator[Row]:
        while (row := self.next()) is not None:
            yield row

    def next(self) -> Row | None:
        """Return the next row, or None after the last."""
        if self._next >= len(self._rows):
            return None
        self._next += 1
        # Of columns with one name the last wins, as in a JavaScript object.
        return dict(zip(self.column_names, self._rows[self._next - 1], strict=True))

    def to_array(self) -> list[Row]:
        """Return the rows that are left."""
        return list(self)

    def one(self) -> Row:
        """Return the only row. SqlError when there is none or more than one."""
        row = self.next()
        if row is None:
            raise SqlError("Expected exactly one result from SQL query, but got no results.")
        if self.next() is not None:
            raise SqlError("Expected exactly one result from SQL query, but got multiple results.")
        return row

    def raw(self) -> Iterator[list[Any]]:
        """Yield the rows that are left as lists of values (keeps duplicate columns)."""
        while self._next < len(self._rows):
            self._next += 1
            yield self._rows[self._next - 1]


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

    def exec_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """
        Run one INSERT, UPDATE or DELETE once for each of *rows*, its bindings.

        Errors as for `exec`. A laptop does this in one go; at the edge it is a loop.
        """
        for row in rows:
            self.exec(sql, *row)

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
