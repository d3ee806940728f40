"""
`ctx.storage` at the edge.

Values go through the synchronous API (`ctx.storage.kv`, SQLite-backed classes only, which is all
that worker/entry/config.py accepts): a read and the write that depends on it then have no gap in
which Python's event loop could let another event in. The output gate still holds every reply
until the writes are durable. Alarms, transactions and `sync` are promises.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

from durable.edge_sql import EdgeSql
from durable.edge_values import from_stored, storage_errors
from durable.errors import TransactionError
from durable.storage import ObjectStorage, StorageOperations, SyncKv, Transaction
from durable.storage_checks import (
    Range,
    check_key,
    check_range,
    check_transaction,
    entries_of,
)
from worker import interop
from worker.interop import Outcome

T = TypeVar("T")


class EdgeKv(SyncKv):
    """`ctx.storage.kv`."""

    __slots__ = ("_js",)

    def __init__(self, js_kv: Any) -> None:
        self._js = js_kv

    def get(self, key: str) -> Any:
        with storage_errors():
            return from_stored(self._js.get(check_key(key)))

    def put(self, key: str, value: Any) -> None:
        self.write(entries_of(key, value))

    def delete(self, key: str) -> bool:
        with storage_errors():
            return bool(self._js.delete(check_key(key)))

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
        return self.scan(check_range(start, start_after, end, prefix, reverse, limit))

    def write(self, entries: Sequence[tuple[str, str | bytes]]) -> None:
        """Store values that are in their stored form already."""
        with storage_errors():
            for key, encoded in entries:
                self._js.put(key, interop.data_out(encoded))

    def scan(self, wanted: Range) -> Iterator[tuple[str, Any]]:
        """Yield the keys and values of a range that was checked."""
        options = interop.plain_object(
            start=wanted.start,
            startAfter=wanted.start_after,
            end=wanted.end,
            prefix=wanted.prefix,
            reverse=wanted.reverse or None,
            limit=wanted.limit,
        )
        with storage_errors():
            for pair in self._js.list(options):
                yield str(pair[0]), from_stored(pair[1])


class EdgeOperations(StorageOperations):
    """Values and alarm, for storage itself and for transactions."""

    __slots__ = ("_js", "_kv")

    def __init__(self, js_storage: Any, kv: EdgeKv) -> None:
        self._js = js_storage
        self._kv = kv

    def _check(self, operation: str) -> None:
        """Fail when *operation* is not allowed now."""

    async def _get_one(self, operation: str, key: str) -> Any:
        self._check(operation)
        return self._kv.get(key)

    async def _get_many(self, operation: str, keys: Sequence[str]) -> dict[str, Any]:
        self._check(operation)
        found = ((key, self._kv.get(key)) for key in keys)
        return {key: value for key, value in found if value is not None}

    async def _put(self, operation: str, entries: Sequence[tuple[str, str | bytes]]) -> None:
        self._check(operation)
        self._kv.write(entries)

    async def _delete(self, operation: str, keys: Sequence[str]) -> int:
        self._check(operation)
        return sum(self._kv.delete(key) for key in keys)

    async def _list(self, operation: str, wanted: Range) -> dict[str, Any]:
        self._check(operation)
        return dict(self._kv.scan(wanted))

    async def _get_alarm(self, operation: str) -> int | None:
        self._check(operation)
        with storage_errors():
            when = await self._js.getAlarm()
        return None if interop.is_none(when) else int(when)

    async def _set_alarm(self, operation: str, when: int | None) -> None:
        self._check(operation)
        with storage_errors():
            await (self._js.deleteAlarm() if when is None else self._js.setAlarm(when))


class EdgeTransaction(EdgeOperations, Transaction):
    """The handle of one transaction: in an SQLite-backed object, all storage is inside it."""

    __slots__ = ("_state", "_txn")

    def __init__(self, js_storage: Any, kv: EdgeKv, js_txn: Any) -> None:
        super().__init__(js_storage, kv)
        self._txn = js_txn
        self._state = "open"

    def finish(self) -> None:
        """Refuse every later operation."""
        if self._state == "open":
            self._state = "committed"

    def rollback(self) -> None:
        self._check("rollback")
        with storage_errors():
            self._txn.rollback()
        self._state = "rolled back"

    async def delete_all(self) -> None:
        raise TransactionError("Cannot call deleteAll() within a transaction")

    def _check(self, operation: str) -> None:
        check_transaction(self._state, operation)


class EdgeStorage(EdgeOperations, ObjectStorage):
    """`ctx.storage` of one instance."""

    __slots__ = ("kv", "sql")

    def __init__(self, js_storage: Any) -> None:
        kv = EdgeKv(js_storage.kv)
        super().__init__(js_storage, kv)
        self.kv = kv
        self.sql = EdgeSql(js_storage.sql)

    async def sync(self) -> None:
        with storage_errors():
            await self._js.sync()

    async def delete_all(self) -> None:
        with storage_errors():
            await self._js.deleteAll()

    def transaction_sync(self, fn: Callable[[], T]) -> T:
        outcome = Outcome()

        def inside() -> None:
            try:
                outcome.result = fn()
            except BaseException as error:
                outcome.error = error
                raise

        with storage_errors(outcome):
            self._js.transactionSync(interop.once(inside))
        kept: T = outcome.result
        return kept

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T] | T]) -> T:
        outcome = Outcome()

        def begin(js_txn: Any) -> Any:
            handle = EdgeTransaction(self._js, self._kv, js_txn)
            return interop.promise_of(lambda: _run(fn, handle), outcome)

        with storage_errors(outcome):
            await self._js.transaction(interop.once(begin))
        kept: T = outcome.result
        return kept


async def _run(fn: Callable[[Transaction], Awaitable[T] | T], handle: EdgeTransaction) -> T:
    try:
        result = fn(handle)
        return await result if inspect.isawaitable(result) else result
    finally:
        handle.finish()
