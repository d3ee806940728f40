"""
D1 on one SQLite file, in this process.

Statements run on the event loop while they are short, and in threads of
aiosqlite when they are not; see `sqlite.file` for the promises, and
`sqlite.dialect` for how SQLite is made to answer like D1.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from d1_schema.contract import D1Database, D1Error, D1Meta, D1Rows, D1Session
from d1_schema.local_session import LocalSession
from d1_schema.plan import Plan
from d1_schema.sqlite.authority import install_authorizer
from d1_schema.sqlite.dialect import describe, open_connection
from d1_schema.sqlite.engine import Connection, Error
from d1_schema.sqlite.file import SqliteFile
from d1_schema.sqlite.handle import INLINE_STEPS, LANE_STEPS, Handle
from d1_schema.sqlite.lane import open_lane
from d1_schema.values import Parameter, Value, size_of

SERVED_BY: Final = "edgekeep.embedded"
HEAVY_BYTES: Final = 128 * 1024
"""Parameters of so many bytes in one call go to the writer lane at once."""
HEAVY_STATEMENTS: Final = 50
"""So do batches of more statements."""
SMALL_DATABASE_BYTES: Final = 4 * 1024 * 1024
"""Up to here even a walk through a whole table is over in about two milliseconds."""
PLANS: Final = 1024
"""Texts of SQL whose plan is kept; the one unused for longest goes first."""
PAGE_BYTES: Final = 4096

Call = tuple[Plan, tuple[Parameter, ...]]


def _prepare(connection: Connection, steps: int = LANE_STEPS) -> Handle:
    """Put a connection under D1's authority."""
    return Handle(connection, install_authorizer(connection), steps)


def as_d1_error(error: Error, handle: Handle, _is_write: bool) -> D1Error:
    """Say SQLite's *error* as D1 does."""
    statement, handle.statement = handle.statement, None
    return D1Error(f"D1_ERROR: {describe(error, handle.authority)}", statement)


class EmbeddedDatabase(D1Database):
    """A D1 database in a file of this machine."""

    def __init__(self, path: Path, inline: Handle, size: int) -> None:
        opener = partial(open_lane, prepare=_prepare, is_limited=True)
        self._file = SqliteFile(path, inline, opener, as_d1_error)
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._settings: dict[str, Plan] = {}
        self._settings_version = 0
        self._size = size
        self._last_row_id = 0
        self._commits = 0
        self._openings: int | None = None

    def _plan(self, sql: str) -> Plan:
        plan = self._plans.get(sql)
        if plan is None:
            plan = self._plans[sql] = Plan(sql)
            if len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(sql)
        return plan

    async def run_first(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Value]] | None:
        """See the contract. A single read takes the short way: no meta, one row."""
        plan = self._plan(sql)
        if plan.is_write or len(plan.statements) > 1 or self._is_long_read([plan]):
            (rows,) = await self.run_batch([(sql, parameters)])
            return (rows.columns, rows.rows[0]) if rows.rows else None
        return await self._file.read(sql, self._first, plan, parameters)

    async def run_batch(
        self, statements: Sequence[tuple[str, tuple[Parameter, ...]]]
    ) -> list[D1Rows]:
        """See the contract."""
        calls = self._planned(statements)
        plans = [plan for plan, _ in calls]
        key = statements[0][0] if len(statements) == 1 else tuple(sql for sql, _ in statements)
        if any(plan.is_write for plan in plans):
            return await self._write(key, calls, plans)
        if self._is_long_read(plans):
            return await self._file.read_slowly(key, self._read_all, calls)
        return await self._file.read(key, self._read_all, calls)

    def _planned(self, statements: Sequence[tuple[str, tuple[Parameter, ...]]]) -> list[Call]:
        calls: list[Call] = []
        try:
            for sql, parameters in statements:
                calls.append((self._plan(sql), parameters))
        except D1Error as error:
            error.statement = len(calls)
            raise
        return calls

    async def run_lines(self, lines: Sequence[str]) -> float:
        """See the contract."""
        start = time.perf_counter()
        await self.run_batch([(line, ()) for line in lines])
        return (time.perf_counter() - start) * 1000

    def _is_long_read(self, plans: list[Plan]) -> bool:
        return self._size > SMALL_DATABASE_BYTES and any(p.has_long_step for p in plans)

    async def _write(self, key: object, calls: list[Call], plans: list[Plan]) -> list[D1Rows]:
        size = sum(size_of(value) for _, values in calls for value in values)
        is_long = self._size > SMALL_DATABASE_BYTES and any(p.has_long_step for p in plans)
        is_heavy = is_long or size > HEAVY_BYTES or len(calls) > HEAVY_STATEMENTS
        self._file.count_bytes(size)
        rows, pages = await self._file.write(
            key,
            self._write_all,
            calls,
            is_heavy=is_heavy,
            is_alone=any(plan.is_alone for plan in plans),
            is_atomic=len(calls) == 1 and len(plans[0].statements) == 1,
        )
        self._commits += 1
        self._size = pages * PAGE_BYTES
        for plan in plans:
            if plan.changes_settings:
                self._settings[plan.sql.lower()] = plan
                self._settings_version += 1
        return rows

    # -- in a lane or on the loop ---------------------------------------------

    def _first(
        self, handle: Handle, plan: Plan, values: tuple[Parameter, ...]
    ) -> tuple[list[str], list[Value]] | None:
        if handle.settings_seen != self._settings_version:
            self._follow_settings(handle)
        return plan.run_first(handle, values)

    def _read_all(self, handle: Handle, calls: list[Call]) -> list[D1Rows]:
        if handle.settings_seen != self._settings_version:
            self._follow_settings(handle)
        if len(calls) > 1:
            handle.begin_read()
        rows = []
        for handle.statement, (plan, values) in enumerate(calls):
            rows.append(self._measured(handle, plan, values))
        handle.statement = None
        if len(calls) > 1:
            handle.commit()
        return rows

    def _write_all(self, handle: Handle, calls: list[Call]) -> tuple[list[D1Rows], int]:
        if handle.settings_seen != self._settings_version:
            self._follow_settings(handle)
        found = []
        for handle.statement, (plan, values) in enumerate(calls):
            before = handle.connection.total_changes()
            start = time.perf_counter()
            columns, rows = plan.run(handle, values)
            new = handle.connection.last_insert_rowid()
            if new and new != handle.last_row_id:
                # At once: as in D1, an insert counts here even when it is undone.
                handle.last_row_id = self._last_row_id = new
            changes = handle.connection.total_changes() - before
            last = self._last_row_id
            found.append((columns, rows, start, time.perf_counter(), changes, last, plan))
        handle.statement = None
        pages: int = handle.own("PRAGMA page_count")[0]
        answers = [
            D1Rows(
                columns,
                rows,
                D1Meta(
                    served_by=SERVED_BY,
                    duration=(end - start) * 1000,
                    changes=changes,
                    last_row_id=last,
                    changed_db=changes > 0 or plan.changes_schema,
                    size_after=pages * PAGE_BYTES,
                    rows_read=len(rows),
                    rows_written=changes,
                ),
            )
            for columns, rows, start, end, changes, last, plan in found
        ]
        return answers, pages

    def _measured(self, handle: Handle, plan: Plan, values: tuple[Parameter, ...]) -> D1Rows:
        start = time.perf_counter()
        columns, rows = plan.run(handle, values)
        meta = D1Meta(
            served_by=SERVED_BY,
            duration=(time.perf_counter() - start) * 1000,
            changes=0,
            last_row_id=self._last_row_id,
            changed_db=False,
            size_after=self._size,
            rows_read=len(rows),
            rows_written=0,
        )
        return D1Rows(columns, rows, meta)

    def _follow_settings(self, handle: Handle) -> None:
        """Repeat the pragmas that changed another connection of this database."""
        for plan in list(self._settings.values()):
            plan.run(handle, ())
        handle.settings_seen = self._settings_version

    # -- sessions and end -----------------------------------------------------

    def _session(self, constraint: str | None) -> D1Session:
        """See the contract. There are no replicas: every session sees the newest rows."""
        return LocalSession(self, constraint)

    async def bookmark(self) -> str:
        """
        Name the newest commit.

        The first group counts the openings of the file, so that a bookmark of an
        earlier run is never ahead; it is written only when sessions are used.
        """
        if self._openings is None:
            self._openings = await self._file.write(None, _count_opening)
        return f"{self._openings:08x}-{self._commits:08x}-00000000-{'0' * 32}"

    async def close(self) -> None:
        """See the contract."""
        await self._file.close()


def _count_opening(handle: Handle) -> int:
    # user_version is refused to users of D1, so it is free for this.
    count: int = (handle.own("PRAGMA user_version")[0] + 1) & 0x7FFFFFFF
    handle.own(f"PRAGMA user_version = {count:d}")
    return count


async def open_database(path: Path) -> D1Database:
    """
    Open the D1 database in the file *path*, creating it when it is missing.

    Raises:
        Error: the file cannot be opened, or is not a database.
    """
    connection = open_connection(path, autocheckpoint_pages=0)
    connection.set_busy_timeout(0)  # the loop never waits for a lock
    handle = _prepare(connection, INLINE_STEPS)
    pages: int = handle.own("PRAGMA page_count")[0]
    return EmbeddedDatabase(path, handle, pages * PAGE_BYTES)
