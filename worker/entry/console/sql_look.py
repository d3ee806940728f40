"""
Runs SQL that cannot write, on a connection of its own to the file of a D1 database.

Enforced by the engine, not by reading the text: the connection is opened read-only, `query_only`
is on, and the authorizer lets nothing pass but reading. So a WITH that writes, a PRAGMA that sets
something, ATTACH and VACUUM INTO are refused like a plain INSERT.

The file is opened through SQLite in this process only, which is what decision 1 asks for. Each
look takes a thread and ends after some seconds.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import apsw

from d1_schema.contract import D1Error, D1Rows
from d1_schema.plan import WRONG_COUNT
from d1_schema.sqlite.authority import Authority
from d1_schema.sqlite.dialect import describe, limit
from d1_schema.sqlite.engine import Connection, Error, connect, query
from d1_schema.sqlite.text import MAX_SQL_BYTES, TOO_LONG, has_statement, parse_statements
from worker.entry.console.value_cells import Cell, cell

T = TypeVar("T")

SECONDS: Final = 5.0
"""How long one look may take."""
ROWS_SHOWN: Final = 500
BYTES_SHOWN: Final = 8 * 1024 * 1024
"""A result ends early when its rows hold more than this."""
STATEMENTS: Final = 20
_STEPS: Final = 100_000

_READING: Final = frozenset(
    {
        apsw.SQLITE_SELECT,
        apsw.SQLITE_READ,
        apsw.SQLITE_FUNCTION,
        apsw.SQLITE_RECURSIVE,
        apsw.SQLITE_PRAGMA,
        # These have words of their own.
        apsw.SQLITE_TRANSACTION,
        apsw.SQLITE_SAVEPOINT,
    }
)
# Pragmas that ask; those in the second set only without an argument.
_ASKING: Final = frozenset(
    {"table_list", "table_info", "table_xinfo", "index_list", "index_info", "index_xinfo"}
    | {"foreign_key_list", "foreign_key_check", "quick_check"}
)
_ASKING_BARE: Final = frozenset({"data_version", "page_size", "foreign_keys"})


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """What one statement gave; *notes* say what is not shown, and what it did."""

    sql: str
    columns: list[str]
    rows: list[list[Cell]]
    milliseconds: float
    notes: list[str]


class SqlRefusedError(D1Error):
    """
    A statement failed, in D1's words; `done` holds what the statements before it gave.

    `hint` says more to a developer, or is "".
    """

    def __init__(self, message: str, done: list[SqlAnswer], hint: str = "") -> None:
        super().__init__(message)
        self.done = done
        self.hint = hint


class ReadingAuthority(Authority):
    """Lets SQL read what D1 lets it read, and nothing else."""

    __slots__ = ("has_refused_write",)

    def __init__(self) -> None:
        super().__init__()
        self.has_refused_write = False

    def __call__(
        self, action: int, first: str | None, second: str | None, _db: str | None, _by: str | None
    ) -> int:
        """SQLite's question; see `Authority`."""
        if not self.is_lifted and not _reads(action, first or "", second):
            self.has_refused_write = True
            return apsw.SQLITE_DENY
        return super().__call__(action, first, second, _db, _by)


def _reads(action: int, first: str, second: str | None) -> bool:
    if action == apsw.SQLITE_PRAGMA:
        name = first.lower()
        return name in _ASKING or (name in _ASKING_BARE and second is None)
    if action == apsw.SQLITE_UPDATE:
        # What SQLite asks before it makes json_each and its like in memory; for user SQL the
        # schema is out of reach anyway ("table sqlite_master may not be modified").
        return first == "sqlite_master"
    return action in _READING


class _Look:
    """One connection that can only read, from opening to closing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Connection | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Interrupt what runs; may be called from another thread, at any time."""
        self._is_stopped = True
        if self._connection is not None:
            self._connection.interrupt()

    def run(self, work: Callable[[Connection, ReadingAuthority], T]) -> T:
        """Open, *work*, close; raises what *work* raises, and Error."""
        connection = connect(self._path.absolute(), wait_seconds=1.0, reads_only=True)
        authority = ReadingAuthority()
        try:
            connection.execute("PRAGMA query_only = ON")
            limit(connection)
            connection.set_authorizer(authority)
            connection.set_progress_handler(lambda: self._is_stopped, _STEPS)
            self._connection = connection
            return work(connection, authority)
        finally:
            self._connection = None
            connection.close()


async def look(path: Path, work: Callable[[Connection, ReadingAuthority], T]) -> T:
    """
    Run *work* in a thread with a connection to *path* that can only read.

    Interrupted after `SECONDS`, and when the caller is cancelled. Raises Error and what
    *work* raises.
    """
    it = _Look(path)
    clock = asyncio.get_running_loop().call_later(SECONDS, it.stop)
    task = asyncio.ensure_future(asyncio.to_thread(it.run, work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        it.stop()
        # Nobody asks any more how it ended.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
    finally:
        clock.cancel()


def statements_of(sql: str) -> list[str]:
    """
    Cut the text of the box into statements.

    Raises `SqlRefusedError` when there are none or too many, when the text is too long, or when a
    statement has parameters (the box has no values for them).
    """
    if len(sql.encode("utf-8", "replace")) > MAX_SQL_BYTES:  # for the whole box
        raise SqlRefusedError(f"D1_ERROR: {TOO_LONG}", [])
    found = [piece for piece in parse_statements(sql) if has_statement(piece.text)]
    if not found:
        raise SqlRefusedError("D1_ERROR: SQL code did not contain a statement.", [])
    if len(found) > STATEMENTS:
        raise SqlRefusedError(
            f"D1_ERROR: at most {STATEMENTS} statements at a time here; there are {len(found)}.", []
        )
    if any(piece.parameter_count for piece in found):
        raise SqlRefusedError(WRONG_COUNT, [], "Write the values into the SQL: the box binds none.")
    return [piece.text for piece in found]


async def run_reading(path: Path, sql: str) -> list[SqlAnswer]:
    """Run the statements of *sql* one after the other; raises `SqlRefusedError`."""
    texts = statements_of(sql)
    done: list[SqlAnswer] = []

    def work(connection: Connection, authority: ReadingAuthority) -> None:
        for text in texts:
            try:
                done.append(_run(connection, text))
            except Error as error:
                raise _refused(error, authority, done) from None

    await look(path, work)
    return done


def _run(connection: Connection, text: str) -> SqlAnswer:
    start = time.perf_counter()
    columns, found = query(connection, text)
    rows: list[list[Cell]] = []
    room = BYTES_SHOWN
    is_cut = False
    for row in found:
        if len(rows) == ROWS_SHOWN or room < 0:
            is_cut = True
            break
        room -= sum(len(value) for value in row if isinstance(value, str | bytes))
        rows.append([cell(value) for value in row])
    milliseconds = (time.perf_counter() - start) * 1000
    found.close()
    notes = [f"The first {len(rows):,} rows; there are more."] if is_cut else []
    return SqlAnswer(text, columns, rows, milliseconds, notes)


def _refused(error: Error, authority: ReadingAuthority, done: list[SqlAnswer]) -> SqlRefusedError:
    if isinstance(error, apsw.InterruptError):
        return SqlRefusedError(
            f"D1_ERROR: {describe(error)}", done, f"It was stopped after {SECONDS:g} seconds."
        )
    hint = ""
    if authority.has_refused_write:
        hint = "Nothing was changed: this was run for reading only, and it would write."
    return SqlRefusedError(f"D1_ERROR: {describe(error, authority)}", done, hint)


def outcome_of(sql: str, answer: D1Rows) -> SqlAnswer:
    """Return what D1 answered to a statement that may have written."""
    rows = [[cell(value) for value in row] for row in answer.rows[:ROWS_SHOWN]]
    meta = answer.meta
    notes = [
        f"{meta.rows_read:,} rows read, {meta.rows_written:,} written; "
        + ("the database was changed." if meta.changed_db else "nothing was changed.")
    ]
    if len(answer.rows) > ROWS_SHOWN:
        notes.append(f"The first {ROWS_SHOWN} rows of {len(answer.rows):,}.")
    return SqlAnswer(sql, list(answer.columns), rows, meta.duration, notes)
