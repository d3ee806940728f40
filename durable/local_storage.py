"""
`ctx.storage` on the object's file.

Nothing here suspends unless another event holds the gate: SQLite answers within the call, so
a read and the write that depends on it have no gap between them.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from durable import local_kv
from durable.errors import TransactionError
from durable.gate import CURRENT_TURN, Section
from durable.local_kv import LocalKv
from durable.local_sql import LocalSql
from durable.storage import ObjectStorage, StorageOperations, Transaction
from durable.storage_checks import Range, check_transaction
from durable.writes import Writes

if TYPE_CHECKING:
    from durable.instance import Instance

T = TypeVar("T")


class LocalOperations(StorageOperations):
    """Values and alarm of one object, for storage itself and for transactions."""

    __slots__ = ("_instance", "_writes")

    def __init__(self, instance: "Instance") -> None:
        self._instance = instance
        self._writes: Writes = instance.writes

    async def _ready(self, operation: str) -> None:
        """Wait while another event holds the gate; fail when *operation* is not allowed."""
        gate = self._instance.gate
        while not gate.lets_task():
            await gate.wait()

    async def _get_one(self, operation: str, key: str) -> Any:
        await self._ready(operation)
        return local_kv.read(self._writes, key)

    async def _get_many(self, operation: str, keys: Sequence[str]) -> dict[str, Any]:
        await self._ready(operation)
        return local_kv.read_many(self._writes, keys)

    async def _put(self, operation: str, entries: Sequence[tuple[str, str | bytes]]) -> None:
        await self._ready(operation)
        local_kv.write(self._writes, entries)

    async def _delete(self, operation: str, keys: Sequence[str]) -> int:
        await self._ready(operation)
        return local_kv.remove(self._writes, keys)

    async def _list(self, operation: str, wanted: Range) -> dict[str, Any]:
        await self._ready(operation)
        return dict(local_kv.scan(self._writes, wanted))

    async def _get_alarm(self, operation: str) -> int | None:
        await self._ready(operation)
        row = self._writes.alarm()
        if row is None or row == self._instance.ringing:
            return None
        return row[0]

    async def _set_alarm(self, operation: str, when: int | None) -> None:
        await self._ready(operation)
        if when is None:
            self._writes.set_alarm(None)
        else:
            # The past means now.
            when = max(when, self._instance.now_ms())
            self._writes.set_alarm((when, when, 0))
        self._instance.alarm_was_set()


class LocalTransaction(LocalOperations, Transaction):
    """The handle of one transaction."""

    __slots__ = ("_number", "_state")

    def __init__(self, instance: "Instance", number: int) -> None:
        super().__init__(instance)
        self._number = number
        self._state = "open"

    @property
    def is_rolled_back(self) -> bool:
        """Whether `rollback` was called."""
        return self._state == "rolled back"

    def finish(self) -> None:
        """Refuse every later operation."""
        if self._state == "open":
            self._state = "committed"

    def rollback(self) -> None:
        self._check("rollback")
        self._writes.rewind(self._number)
        self._state = "rolled back"

    async def delete_all(self) -> None:
        raise TransactionError("Cannot call deleteAll() within a transaction")

    async def _ready(self, operation: str) -> None:
        self._check(operation)
        await super()._ready(operation)

    def _check(self, operation: str) -> None:
        check_transaction(self._state, operation)


class LocalStorage(LocalOperations, ObjectStorage):
    """`ctx.storage` of one instance."""

    __slots__ = ("kv", "sql")

    def __init__(self, instance: "Instance") -> None:
        super().__init__(instance)
        self.sql = LocalSql(self._writes)
        self.kv = LocalKv(self._writes)

    async def sync(self) -> None:
        await self._ready("sync")
        self._instance.flush_now()

    async def delete_all(self) -> None:
        await self._ready("deleteAll")
        self._instance.delete_all()

    def transaction_sync(self, fn: Callable[[], T]) -> T:
        writes = self._writes
        number = writes.begin()
        try:
            result = fn()
        except BaseException:
            self._leave(number, is_kept=False)
            raise
        self._leave(number, is_kept=True)
        return result

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T] | T]) -> T:
        task = asyncio.current_task()
        section = Section(CURRENT_TURN.get(), task)
        gate = self._instance.gate
        await gate.hold(section, gate.take(section, task))
        timer = self._instance.limit_section()
        try:
            return await self._inside(fn)
        finally:
            timer.cancel()
            gate.release(section)

    async def _inside(self, fn: Callable[[Transaction], Awaitable[T] | T]) -> T:
        number = self._writes.begin()
        handle = LocalTransaction(self._instance, number)
        try:
            result = fn(handle)
            if inspect.isawaitable(result):
                result = await result
        except BaseException:
            handle.finish()
            self._leave(number, is_kept=False)
            raise
        is_kept = not handle.is_rolled_back
        handle.finish()
        self._leave(number, is_kept=is_kept)
        return result

    def _leave(self, number: int, *, is_kept: bool) -> None:
        writes = self._writes
        if writes.broken is not None:
            return  # the reset has undone everything already
        if is_kept:
            writes.keep(number)
        else:
            writes.drop(number)
        if writes.depth == 0:
            self._instance.schedule_flush()
