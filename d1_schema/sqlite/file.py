"""
A SQLite file behind an event loop: short work at once, long work elsewhere.

A hop to a thread costs some 185 µs, ten times a point query, so a statement runs
right on the loop, on a connection that never waits: it is interrupted after
about two milliseconds. What was interrupted and what is known to be slow goes to
a slow lane: a thread with a connection of its own, opened when first needed.

Promises:
1. A write is answered after its commit, and survives kill -9 from then on.
   Enforcement: futures are settled after `run_group`; tests/crash/test_kv_d1_kill.py.
2. The loop is not held much longer than `INLINE_SECONDS` by a statement.
   Enforcement: `Handle.deadline`; tests/bindings/test_d1_lanes.py.
3. A read sees only what is committed: writes never leave a transaction open
   across turns of the loop.
4. No checkpoint and no fsync on the loop. Enforcement: autocheckpoint is off on
   the inline connection, and the writer lane copies the WAL (`writes`).
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from d1_schema.sqlite.engine import Error, is_damage
from d1_schema.sqlite.handle import Explain, Handle, Job, is_busy, is_for_lane
from d1_schema.sqlite.slow_memo import INLINE_SECONDS, SlowMemo
from d1_schema.sqlite.writes import LANE_SECONDS, Lane, WriteQueue, overtime

T = TypeVar("T")

READER_LANES: Final = 2
"""Slow reads that run at the same time; one must not block another."""

LaneOpener = Callable[[Path], Awaitable[Lane]]
"""Opens one more connection to a file, in a thread of its own."""


class SqliteFile:
    """One database file: an inline connection and its lanes."""

    def __init__(self, path: Path, inline: Handle, open_lane: LaneOpener, explain: Explain) -> None:
        self.inline = inline
        self._path = path
        self._explain_plain = explain
        self._open_lane = partial(open_lane, path)
        self._memo = SlowMemo()
        self._writes = WriteQueue(inline, self._open_lane, self._explain, self._memo)
        self._idle_readers: list[Lane] = []
        self._readers: list[Lane] = []
        self._reader_slots = asyncio.Semaphore(READER_LANES)
        self._is_closed = False
        self._has_looked = False

    def look(self) -> int | None:
        """
        Return what names the newest commit, of whoever; None where SQLite cannot say at once.

        One look serves a turn of the event loop. A request that arrives after a commit of another
        process is read from its socket after it too, and runs in a later turn: `call_soon` keeps
        the order.
        """
        if self._is_closed:
            return None
        if not self._has_looked:
            self.inline.deadline = math.inf
            try:
                # Any reading statement brings the connection up to date; this one reads nothing.
                self.inline.own("PRAGMA data_version")
            except Error:
                self.inline.reset()
                return None
            self._has_looked = True
            asyncio.get_running_loop().call_soon(self._end_turn)
        return self.version()

    def _end_turn(self) -> None:
        self._has_looked = False

    def version(self) -> int:
        """Return what names the newest commit that the inline connection has seen or made."""
        # Unlike the pragma's, this number changes with its own commits too.
        return self.inline.connection.data_version()

    def _explain(self, error: Error, handle: Handle, is_write: bool) -> Exception:
        """Say *error* in the words of the binding; a damaged file is named."""
        if is_damage(error):
            error.args = (f"{error} ({self._path})",)
        return self._explain_plain(error, handle, is_write)

    async def read(self, key: object, work: Callable[..., T], *args: Any) -> T:
        """
        Run *work* with a handle and *args*: inline, or in a reader lane.

        *key* is what the memo of slow statements knows the work by. The work may
        run twice, so it must not change anything.
        """
        if self._is_closed:
            self._check_open(is_write=False)
        if not self._memo.is_slow(key):
            handle = self.inline
            handle.deadline = deadline = time.perf_counter() + INLINE_SECONDS
            try:
                result = work(handle, *args)
            except Error as error:
                handle.reset()
                if not (is_for_lane(error) or is_busy(error)):
                    raise self._explain(error, handle, False) from None
            except BaseException:
                handle.reset()
                raise
            else:
                if time.perf_counter() > deadline:
                    # One step of SQLite's machine can be long (count(*) of a large table).
                    self._memo.remember(key)
                return result
            self._memo.remember(key)
        return await self.read_slowly(key, work, *args)

    async def read_slowly(self, key: object, work: Callable[..., T], *args: Any) -> T:
        """Run *work* in a reader lane without trying it on the loop first."""
        self._check_open(is_write=False)
        await self._reader_slots.acquire()
        try:
            lane = self._idle_readers.pop() if self._idle_readers else await self._new_reader()
        except BaseException:
            self._reader_slots.release()
            raise

        def give_back(_: object) -> None:
            self._idle_readers.append(lane)
            self._reader_slots.release()

        call = partial(self._read_in_lane, lane.handle, work, args)
        task = asyncio.ensure_future(lane.run(call))
        task.add_done_callback(give_back)
        try:
            result, seconds = await asyncio.shield(task)
        except asyncio.CancelledError:
            # Nobody waits any more: stop the query instead of heating the machine.
            lane.handle.connection.interrupt()
            raise
        if seconds < INLINE_SECONDS / 2:
            self._memo.forgive(key)
        return result

    def _read_in_lane(
        self, handle: Handle, work: Callable[..., T], args: tuple[Any, ...]
    ) -> tuple[T, float]:
        # Processor time, not wall time: waiting for Python's lock says nothing about the query.
        start = time.thread_time()
        handle.deadline = time.perf_counter() + LANE_SECONDS
        try:
            return work(handle, *args), time.thread_time() - start
        except Error as error:
            shown = overtime() if is_for_lane(error) else error
            raise self._explain(shown, handle, False) from None
        finally:
            handle.reset()

    async def _new_reader(self) -> Lane:
        lane = await self._open_lane()
        self._readers.append(lane)
        return lane

    def write(
        self,
        key: object,
        work: Callable[..., T],
        *args: Any,
        is_heavy: bool = False,
        is_alone: bool = False,
        is_atomic: bool = False,
    ) -> "asyncio.Future[T]":
        """
        Run *work* with a handle and *args* inside a transaction; await the result.

        The work may run more than once; only one run is committed. A heavy one goes
        to the writer lane at once, one that is alone shares no transaction, an atomic
        one is a single statement.
        """
        self._check_open(is_write=True)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.add(Job(future, work, args, key, is_alone, is_atomic), is_heavy=is_heavy)
        return future

    def count_bytes(self, size: int) -> None:
        """Tell the keeper of the WAL that about *size* bytes are being written."""
        self._writes.count_bytes(size)

    def _check_open(self, *, is_write: bool) -> None:
        if self._is_closed:
            error = apsw.ConnectionClosedError("the database is closed")
            raise self._explain(error, self.inline, is_write)

    async def close(self) -> None:
        """Finish the writes that were handed in, then close every connection."""
        if self._is_closed:
            return
        self._is_closed = True
        for lane in self._readers:
            lane.handle.connection.interrupt()
            await lane.close_lane()
        await self._writes.close()
        self.inline.deadline = math.inf
