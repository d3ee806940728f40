"""
The queue of writes of one SQLite file: groups on the loop, long ones in a lane.

SQLite has one writer at a time, so there is one queue. Writes that were handed in
during the same turn of the loop share a transaction, because the commit is the
dear part (measured: 75 µs alone, 14 µs each among 32). What was interrupted at
its deadline, what is heavy, and what finds the file locked by another process
goes to the writer lane; meanwhile the light ones wait, and take turns with it.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol, TypeVar

import apsw

from d1_schema.sqlite.engine import Error
from d1_schema.sqlite.handle import Explain, GroupOutcome, Handle, Job, run_group
from d1_schema.sqlite.slow_memo import INLINE_SECONDS, SlowMemo

T = TypeVar("T")

GROUP_PATIENCE: Final = 0.001
"""Seconds: after so long in one turn, the next write waits for the next turn."""
LANE_SECONDS: Final = 30.0
"""How long any statement may take (Cloudflare's D1 limits page)."""
GROUP_JOBS: Final = 128
"""Writes in one transaction at most."""
CHECKPOINT_PAGES: Final = 4000
"""Pages of 4 KiB in the WAL after which it is copied into the file."""
EMPTY_SECONDS: Final = 30.0
"""So long after a write the WAL is emptied: what is deleted is not to stay readable in it."""


class Lane(Protocol):
    """A thread with a SQLite connection; one call is one hop."""

    handle: Handle

    async def run(self, work: Callable[[], T]) -> T:
        """Run *work* in the thread, after what was handed in before."""
        ...

    async def close_lane(self) -> None:
        """Close the connection and end the thread."""
        ...


class WriteQueue:
    """Writes of one file, in the order they came, one transaction at a time."""

    def __init__(
        self,
        inline: Handle,
        open_lane: Callable[[], Awaitable[Lane]],
        explain: Explain,
        memo: SlowMemo,
    ) -> None:
        self._inline = inline
        self._open_lane = open_lane
        self._explain = explain
        self._memo = memo
        self._light: deque[Job] = deque()
        self._heavy: deque[Job] = deque()
        self._is_flush_due = False
        self._is_gated = False
        """True while the lane may hold the write lock: the loop keeps away from it."""
        self._lane_task: asyncio.Task[None] | None = None
        self._lane: Lane | None = None
        self._keeper: Lane | None = None
        """Copies the WAL: its syncs must not hold up a write that needs the lane."""
        self._copy_task: asyncio.Task[None] | None = None
        self._restart_version: int | None = None
        """Set when the WAL is copied and can start anew: the database's user_version."""
        self._emptying: asyncio.TimerHandle | None = None
        self._is_to_empty = False
        self._wal_pages = 0.0
        self._has_written = False

    def add(self, job: Job, *, is_heavy: bool) -> None:
        """Queue *job*; its future is settled after its commit."""
        if is_heavy or self._memo.is_slow(job.key):
            self._heavy.append(job)
            self._wake_lane()
        else:
            self._light.append(job)
            self._flush_soon()

    def count_bytes(self, size: int) -> None:
        """Tell the keeper of the WAL that about *size* bytes are being written."""
        self._wal_pages += size / 4096

    def _flush_soon(self) -> None:
        if self._light and not self._is_flush_due and not self._is_gated:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Commit one group of light writes on the loop."""
        self._is_flush_due = False
        if self._is_gated or not self._light:
            return
        jobs = _next_group(self._light)
        outcome = run_group(self._inline, jobs, self._explain, INLINE_SECONDS, GROUP_PATIENCE)
        self._light.extendleft(reversed(outcome.again))
        if not outcome.is_locked_out:
            for job in outcome.late:
                self._memo.remember(job.key)
        self._heavy.extend(outcome.late)
        self._settle(outcome)
        if self._heavy:
            self._wake_lane()
        self._flush_soon()

    def _settle(self, outcome: GroupOutcome) -> None:
        for job in outcome.settled:
            if job.future.done():
                continue  # its caller has gone
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if outcome.settled:
            self._has_written = True
            # A small write changes a leaf of the table, one of an index, and at times more.
            self._wal_pages += 3 * len(outcome.settled)
            if self._wal_pages > CHECKPOINT_PAGES:
                self._copy_soon()
            self._empty_later()

    def _copy_soon(self) -> None:
        if self._copy_task is None:
            self._copy_task = asyncio.get_running_loop().create_task(self._copy_wal())

    def _empty_later(self) -> None:
        if self._emptying is None:
            loop = asyncio.get_running_loop()
            self._emptying = loop.call_later(EMPTY_SECONDS, self._begin_emptying)

    def _begin_emptying(self) -> None:
        self._emptying = None
        self._is_to_empty = True
        self._copy_soon()

    def _wake_lane(self) -> None:
        if self._lane_task is None:
            self._is_gated = True
            self._lane_task = asyncio.get_running_loop().create_task(self._work_in_lane())

    async def _work_in_lane(self) -> None:
        try:
            while self._heavy or self._restart_version is not None:
                self._is_gated = True
                if self._restart_version is not None:
                    await self._restart_wal()
                if self._heavy:
                    await self._run_heavy()
                # Light writes that waited take a turn, or heavy ones would starve them.
                self._is_gated = False
                self._flush()
        finally:
            self._lane_task = None
            self._is_gated = False
            self._flush_soon()

    async def _run_heavy(self) -> None:
        jobs = _next_group(self._heavy)
        try:
            lane = await self._opened_lane()
            outcome = await lane.run(partial(self._group_in_lane, lane.handle, jobs))
        except BaseException as error:
            # No lane could be opened: nobody else will answer these callers.
            for job in jobs:
                job.error = error if isinstance(error, Exception) else None
                if isinstance(error, Error):
                    job.error = self._explain(error, self._inline, True)
                if job.error is None:
                    job.future.cancel()
            self._settle(GroupOutcome(settled=jobs))
            if not isinstance(error, Exception):
                raise
            return
        self._heavy.extendleft(reversed(outcome.again))
        self._settle(outcome)

    def _group_in_lane(self, handle: Handle, jobs: list[Job]) -> GroupOutcome:
        # Processor time, not wall time: waiting for Python's lock says nothing about the work.
        start = time.thread_time()
        outcome = run_group(handle, jobs, self._explain, LANE_SECONDS, math.inf)
        if time.thread_time() - start < len(jobs) * INLINE_SECONDS / 2:
            for job in outcome.settled:
                self._memo.forgive(job.key)
        for job in outcome.late:
            job.error = self._explain(overtime(), handle, True)
        outcome.settled.extend(outcome.late)
        return outcome

    async def _opened_lane(self) -> Lane:
        if self._lane is None:
            self._lane = await self._open_lane()
        return self._lane

    async def _copy_wal(self) -> None:
        """
        Copy the WAL into the file, off the loop, while writes go on.

        Then the lane keeps writes back for the little that came meanwhile, so that
        the WAL starts from its beginning again, and makes the first write to it:
        that one syncs the new header, which would otherwise fall to the loop.
        """
        self._wal_pages = 0.0
        try:
            if self._keeper is None:
                self._keeper = await self._open_lane()
            self._restart_version = await self._keeper.run(partial(_copy, self._keeper.handle))
            self._wake_lane()
        except Error:
            # The disk is full, or another process is at it. Nothing is lost: the WAL
            # stays as it is, and the next pages bring the next attempt.
            return
        finally:
            self._copy_task = None

    async def _restart_wal(self) -> None:
        version, self._restart_version = self._restart_version, None
        restart, self._is_to_empty = (_empty if self._is_to_empty else _restart), False
        with contextlib.suppress(Error):  # as above
            lane = await self._opened_lane()
            if not await lane.run(partial(restart, lane.handle, version or 0)):
                self._empty_later()

    async def close(self) -> None:
        """
        Finish the writes that were handed in, then close the inline connection.

        The last connection to close copies the WAL and syncs; that is the lane's.
        """
        if self._emptying is not None:
            self._emptying.cancel()  # closing empties the WAL
        while self._light or self._heavy or self._lane_task or self._copy_task:
            tasks = [task for task in (self._lane_task, self._copy_task) if task]
            if tasks:
                await asyncio.wait(tasks)
            else:
                await asyncio.sleep(0)
        if self._keeper is not None:
            await self._keeper.close_lane()
        lane = await self._opened_lane() if self._has_written else self._lane
        self._inline.close()
        if lane is not None:
            await lane.close_lane()


def _next_group(queue: deque[Job]) -> list[Job]:
    """Take the jobs from the front of *queue* that may share a transaction."""
    group = [queue.popleft()]
    while queue and not (group[0].is_alone or queue[0].is_alone) and len(group) < GROUP_JOBS:
        group.append(queue.popleft())
    return group


def _copy(handle: Handle) -> int:
    handle.own("PRAGMA wal_checkpoint(PASSIVE)")
    version: int = handle.own("PRAGMA user_version")[0]
    return version


def _restart(handle: Handle, version: int) -> bool:
    # Two statements only: writes wait meanwhile, and each statement may have to wait
    # several times for Python's lock while the loop is busy.
    handle.own("PRAGMA wal_checkpoint(PASSIVE)")
    handle.own(f"PRAGMA user_version = {version:d}")
    return True


def _empty(handle: Handle, version: int) -> bool:
    """Cut the WAL off, then as `_restart`; False when a reader needs it just now."""
    handle.own("PRAGMA busy_timeout = 0")
    try:
        is_busy = handle.own("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    finally:
        handle.own(f"PRAGMA busy_timeout = {LANE_SECONDS * 1000:.0f}")
    handle.own(f"PRAGMA user_version = {version:d}")
    return not is_busy


def overtime() -> Error:
    """The error of a statement that took longer than `LANE_SECONDS`."""
    # The text that Cloudflare's page of D1 errors gives for a query beyond the limit.
    return apsw.SQLError(
        "D1 DB storage operation exceeded timeout which caused object to be reset."
    )
