"""
The package apsw on Python's own sqlite3, as far as the actors' runtime asks for it.

TEST ONLY. The runtime of the tests (2024) has no apsw and loads no package offline. The bundle for
tests puts this module in its place, so that the laptop's rooms run inside the Worker's process.
What they answer about SQL is tested on the laptop, with the SQLite that people have.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from sqlite3 import *  # noqa: F403 - SQLITE_LIMIT_… and the authorizer's actions
from typing import Any

SQLITE_OPEN_READONLY, SQLITE_OPEN_READWRITE, SQLITE_OPEN_CREATE = 1, 2, 4

complete = sqlite3.complete_statement
mapping_result_codes: dict[int, str] = {}
mapping_extended_result_codes: dict[int, str] = {}


class SQLError(sqlite3.Error):
    """A statement is wrong."""


class BusyError(sqlite3.Error):
    """Another connection holds the lock."""


class InterruptError(sqlite3.Error):
    """Somebody stopped the statement."""


class ConnectionClosedError(sqlite3.Error):
    """The connection is closed."""


class ExecutionCompleteError(sqlite3.Error):
    """The statement has no rows, or none that are left."""


def sqlite_lib_version() -> str:
    """Name the oldest version that `engine` accepts."""
    return "3.53.0"


class Cursor:
    """The rows of one execution, all read at once."""

    exec_trace: Callable[..., bool] | None = None
    is_readonly = True

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self._names: list[str] = []
        self._rows: Iterator[Any] = iter(())

    def execute(self, sql: str, values: Sequence[Any] = ()) -> "Cursor":
        """Run *sql*, which may be several statements when there are no *values*."""
        cursor = sqlite3.Cursor(self.connection)
        if "incremental_vacuum" in sql:
            # Its rows have no columns, over which this sqlite3 aborts.
            cursor.executescript(sql)
            return self
        try:
            cursor.execute(sql, values)
        except sqlite3.ProgrammingError as error:
            if "one statement at a time" not in str(error):
                raise
            cursor.executescript(sql)
        self._names = [column[0] for column in cursor.description or ()]
        self._rows = iter(cursor.fetchall())
        if self.exec_trace is not None:
            self.exec_trace(self, sql, values)
        return self

    def get_description(self) -> list[tuple[str, str | None]]:
        """Return name and type of each column."""
        return [(name, None) for name in self._names]

    @property
    def description(self) -> list[tuple[str, str | None]]:
        """The columns; raises where there are none."""
        if not self._names:
            raise ExecutionCompleteError
        return self.get_description()

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._rows)

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(self._rows, None)

    def close(self, *, force: bool = False) -> None:
        """Forget the rows that are left."""
        self._rows = iter(())


class Connection(sqlite3.Connection):
    """A connection that begins no transactions of its own."""

    def __init__(self, path: str, *, flags: int, statementcachesize: int) -> None:
        super().__init__(path, isolation_level=None, cached_statements=statementcachesize)

    def cursor(self) -> Cursor:  # type: ignore[override]
        """Return a cursor."""
        return Cursor(self)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Cursor:  # type: ignore[override]
        """Run *sql*."""
        return self.cursor().execute(sql, values)

    def executemany(self, sql: str, rows: Iterable[Any]) -> Cursor:  # type: ignore[override]
        """Run *sql* for each of *rows*."""
        sqlite3.Cursor(self).executemany(sql, rows)
        return self.cursor()

    def set_busy_timeout(self, milliseconds: int) -> None:
        """Wait that long for locks."""
        self.execute(f"PRAGMA busy_timeout = {milliseconds:d}")

    def total_changes(self) -> int:  # type: ignore[override]
        """Return how many rows were changed since the connection was opened."""
        return int(super().total_changes)

    def limit(self, name: int, value: int) -> int:
        """Set a limit."""
        return self.setlimit(name, value)
