"""
One SQLite connection with a clock on its statements, and groups of writes on it.

Plain synchronous code: it runs on the event loop for short work and in a thread
for long work, see `file`.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import apsw

from d1_schema.sqlite.authority import Authority
from d1_schema.sqlite.engine import Connection, Error

INLINE_STEPS: Final = 250
"""On the loop SQLite asks "go on?" each so many steps of its machine: some 5 µs of work."""
LANE_STEPS: Final = 200_000
"""In a lane it asks seldom: each question has to wait for Python's lock."""

# Texts that no user can send (user SQL passes `parse_statements`, which refuses
# these verbs), so that the cache of statements cannot hand them to a user.
_BEGIN: Final = "BEGIN IMMEDIATE /* edgekeep */"
_BEGIN_READ: Final = "BEGIN /* edgekeep */"
_COMMIT: Final = "COMMIT /* edgekeep */"
_ROLLBACK: Final = "ROLLBACK /* edgekeep */"
_SAVE: Final = "SAVEPOINT edgekeep_job /* edgekeep */"
_RELEASE: Final = "RELEASE edgekeep_job /* edgekeep */"
_UNDO: Final = "ROLLBACK TO edgekeep_job /* edgekeep */"


class Handle:
    """A connection, its permanent cursor, its authority and its deadline."""

    __slots__ = (
        "authority",
        "connection",
        "cursor",
        "deadline",
        "last_row_id",
        "settings_seen",
        "statement",
    )

    def __init__(
        self,
        connection: Connection,
        authority: Authority | None = None,
        steps: int = INLINE_STEPS,
    ) -> None:
        self.connection = connection
        self.authority = authority
        self.cursor = connection.cursor()
        self.deadline = math.inf
        """`time.perf_counter` second at which a running statement is interrupted."""
        self.last_row_id = 0
        """The newest rowid inserted here, as far as the owner has looked."""
        self.settings_seen = 0
        """How many of the file's settings this connection has taken over."""
        self.statement: int | None = None
        """Which of a batch is running, from 0 on."""
        connection.set_progress_handler(self._is_late, steps)

    def _is_late(self) -> bool:
        return time.perf_counter() > self.deadline

    def own(self, sql: str) -> Any:
        """Run a statement of the house itself; returns its first row."""
        authority = self.authority
        if authority is not None:
            authority.is_lifted = True
        try:
            # All of it: a statement in the middle of its rows keeps its transaction open.
            rows = self.cursor.execute(sql).fetchall()
        finally:
            if authority is not None:
                authority.is_lifted = False
        return rows[0] if rows else None

    def begin(self) -> None:
        """Open a transaction and take the write lock."""
        self.own(_BEGIN)

    def begin_read(self) -> None:
        """Open a transaction that sees one state of the database throughout."""
        self.own(_BEGIN_READ)

    def commit(self) -> None:
        """Make the transaction durable against the end of this process."""
        self.own(_COMMIT)

    def rollback(self) -> None:
        """Undo the transaction, if SQLite has not done so itself."""
        self.deadline = math.inf
        if self.connection.in_transaction:
            self.own(_ROLLBACK)

    def reset(self) -> None:
        """Forget a statement that was cut off, and its transaction."""
        self.deadline = math.inf
        self.cursor.close(force=True)
        self.cursor = self.connection.cursor()
        self.rollback()

    def let_go(self) -> None:
        """Undo what hangs on the connection, so that closing it has nothing to wait for."""
        self.connection.set_progress_handler(None)
        self.connection.set_authorizer(None)
        self.cursor.close(force=True)

    def close(self) -> None:
        """Close the connection; the last one of a file also empties its WAL."""
        self.let_go()
        self.connection.close()


Explain = Callable[[Error, Handle, bool], Exception]
"""Turns SQLite's error into the one that callers of the binding know; True for a write."""


def is_for_lane(error: Exception) -> bool:
    """Whether the statement ran into its deadline and is to be run again in a lane."""
    return isinstance(error, apsw.InterruptError)


def is_busy(error: Exception) -> bool:
    """Whether another connection holds the lock that the statement needs."""
    return isinstance(error, apsw.BusyError)


@dataclass(slots=True, eq=False)
class Job:
    """One write that waits for its turn: all of it happens, or nothing."""

    future: "asyncio.Future[Any]"
    work: Callable[..., Any]
    """Called with the handle and *args*, inside a transaction."""
    args: tuple[Any, ...]
    key: object
    """What the memo of slow statements knows it by; None is never remembered."""
    is_alone: bool = False
    """Must not share its transaction: what it sets would reach the neighbours."""
    is_atomic: bool = False
    """Is one statement, which SQLite undoes by itself when it fails: saves a savepoint."""
    result: Any = None
    error: Exception | None = None


@dataclass(slots=True)
class GroupOutcome:
    """What became of the jobs of one transaction."""

    settled: list[Job] = field(default_factory=list)
    """Committed, or failed for good."""
    again: list[Job] = field(default_factory=list)
    """Undone without a fault of their own: to be run again."""
    late: list[Job] = field(default_factory=list)
    """Interrupted at the deadline, or kept out by a lock: for the slow lane."""
    is_locked_out: bool = False
    """Another process held the lock: no fault of the statements."""


def run_group(
    handle: Handle, jobs: list[Job], explain: Explain, seconds: float, patience: float
) -> GroupOutcome:
    """
    Run *jobs* in one transaction, each in its own savepoint.

    A job that fails is undone alone. No new job starts after *patience* seconds,
    and a statement is interrupted *seconds* after the start of the group.
    """
    outcome = GroupOutcome()
    start = time.perf_counter()
    handle.deadline = math.inf
    try:
        handle.begin()
    except Error as error:
        if is_busy(error) and patience < math.inf:
            outcome.late = jobs
            outcome.is_locked_out = True
        else:
            _fail(outcome, jobs, explain(error, handle, True))
        return outcome
    handle.deadline = start + seconds
    done: list[Job] = []
    for position, job in enumerate(jobs):
        if position and time.perf_counter() - start > patience:
            outcome.again = jobs[position:]
            break
        if not _run_job(handle, job, explain, outcome, is_single=len(jobs) == 1):
            # The whole transaction is gone: the others have done nothing wrong.
            outcome.again = done + jobs[position + 1 :]
            return outcome
        done.append(job)
    _commit(handle, done, explain, outcome)
    return outcome


def _run_job(
    handle: Handle, job: Job, explain: Explain, outcome: GroupOutcome, *, is_single: bool
) -> bool:
    """Run one job; False when the transaction did not survive it."""
    job.result = job.error = None
    has_savepoint = not (is_single or job.is_atomic)
    before = handle.connection.total_changes()
    try:
        if has_savepoint:
            handle.own(_SAVE)
        job.result = job.work(handle, *job.args)
        if has_savepoint:
            handle.own(_RELEASE)
        return True
    except Error as error:
        if is_for_lane(error):
            handle.rollback()
            outcome.late.append(job)
            return False
        job.error = explain(error, handle, True)
    except Exception as error:  # whatever the work raises belongs to its caller
        job.error = error
    if handle.connection.in_transaction and not is_single:
        if has_savepoint:
            handle.deadline, deadline = math.inf, handle.deadline
            handle.own(_UNDO)
            handle.own(_RELEASE)
            handle.deadline = deadline
            return True
        if handle.connection.total_changes() == before:
            return True
        # RAISE(FAIL) and OR FAIL leave half of a statement done: undo it with the rest.
    # SQLite may also have rolled back by itself (disk full, I/O error, OR ROLLBACK).
    handle.rollback()
    outcome.settled.append(job)
    return False


def _commit(handle: Handle, done: list[Job], explain: Explain, outcome: GroupOutcome) -> None:
    handle.deadline = math.inf
    try:
        handle.commit()
    except Error as error:
        handle.rollback()
        if len(done) == 1:
            if done[0].error is None:
                done[0].error = explain(error, handle, True)
            outcome.settled.extend(done)
            return
        # One of them left a deferred constraint unsatisfied, or the disk is full:
        # each commits alone, and answers for itself.
        for job in done:
            job.is_alone = True
        outcome.again = done + outcome.again
        return
    outcome.settled.extend(done)


def _fail(outcome: GroupOutcome, jobs: list[Job], error: Exception) -> None:
    for job in jobs:
        job.error = error
    outcome.settled.extend(jobs)
