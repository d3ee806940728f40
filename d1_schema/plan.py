"""
What a text of SQL is: its statements, and the way it has to take.

Worked out once for each text; the embedded adapter keeps the newest plans.
"""

import re
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Final

from d1_schema.contract import NO_STATEMENTS, D1Error
from d1_schema.sqlite.authority import TRANSACTION_REFUSED
from d1_schema.sqlite.handle import Handle
from d1_schema.sqlite.text import TRANSACTION_WORDS, StatementText, has_statement, parse_statements
from d1_schema.values import Parameter, Value, from_plain

WRONG_COUNT: Final = "D1_ERROR: Wrong number of parameter bindings for SQL query."

# These work through a whole table or index in few steps of SQLite's machine, so
# the clock cannot cut them off.
_LONG_STEPS = frozenset({"CREATE", "DROP", "REINDEX", "ANALYZE", "ALTER", "VACUUM", "PRAGMA"})

_SCHEMA_VERBS = frozenset({"CREATE", "DROP", "ALTER"})

# Pragmas that change the connection for good: each connection has to follow.
_SETTINGS = frozenset(
    {"CASE_SENSITIVE_LIKE", "IGNORE_CHECK_CONSTRAINTS", "LEGACY_ALTER_TABLE"}
    | {"RECURSIVE_TRIGGERS", "REVERSE_UNORDERED_SELECTS"}
)
_RENAMED_TO_RESERVED = re.compile(r"\bto\s+[\"'`\[]?_cf_", re.IGNORECASE)

_FIRST_SLICE: Final = 2
_LAST_SLICE: Final = 64
"""Rows fetched between two looks at the clock: few at first, because a row may be 2 MB."""


class Plan:
    """One text of SQL, understood."""

    __slots__ = (
        "changes_schema",
        "changes_settings",
        "has_long_step",
        "is_alone",
        "is_write",
        "last",
        "sql",
        "statements",
    )

    def __init__(self, sql: str) -> None:
        statements = parse_statements(sql)
        _refuse(sql, statements)
        self.sql = sql
        self.statements = statements
        self.last = statements[-1]
        """Its rows are the result, and only it may have parameters."""
        self.is_write = any(s.writes for s in statements)
        self.is_alone = any("DEFER_FOREIGN_KEYS" in s.words for s in statements)
        self.has_long_step = any(map(_has_long_step, statements))
        self.changes_schema = any(s.verb in _SCHEMA_VERBS for s in statements)
        self.changes_settings = any(
            s.verb == "PRAGMA" and s.writes and not _SETTINGS.isdisjoint(s.words)
            for s in statements
        )

    def run(self, handle: Handle, values: Sequence[Parameter]) -> tuple[list[str], list[Any]]:
        """
        Run every statement; return columns and rows of the last.

        Raises:
            D1Error: the number of *values* does not fit.
            sqlite3.Error: SQLite's own verdict.
        """
        for statement in self.statements[:-1]:
            handle.cursor.execute(statement.text).fetchall()
        cursor = self._execute(handle, values)
        rows = cursor.fetchmany(_FIRST_SLICE)
        if len(rows) == _FIRST_SLICE:
            _fetch_rest(handle, rows)
        columns = [column[0] for column in cursor.description or ()]
        return columns, [tuple(map(from_plain, row)) for row in rows]

    def run_first(
        self, handle: Handle, values: Sequence[Parameter]
    ) -> tuple[list[str], list[Value]] | None:
        """Run a single reading statement and return columns and first row, or None."""
        cursor = self._execute(handle, values)
        row = cursor.fetchone()
        if row is None:
            return None
        columns = [column[0] for column in cursor.description]
        if cursor.fetchone() is not None:
            # A statement in the middle of its rows would hold back writes and checkpoints.
            cursor.close()
            handle.cursor = handle.connection.cursor()
        return columns, [from_plain(value) for value in row]

    def _execute(self, handle: Handle, values: Sequence[Parameter]) -> sqlite3.Cursor:
        statement = self.last
        if len(values) != statement.parameter_count:
            _refuse_count(handle, statement)
        if statement.names:
            named = {name: values[position] for name, position in statement.names}
            return handle.cursor.execute(statement.text, named)
        return handle.cursor.execute(statement.text, values)


def _refuse(sql: str, statements: list[StatementText]) -> None:
    """Raise what D1 answers to texts that never reach SQLite."""
    if not sql:
        raise D1Error(f"D1_ERROR: {NO_STATEMENTS}")
    if not statements or not all(has_statement(s.text) for s in statements):
        raise D1Error("D1_ERROR: SQL code did not contain a statement.")
    for statement in statements:
        if statement.verb in TRANSACTION_WORDS:
            raise D1Error(f"D1_ERROR: {TRANSACTION_REFUSED}")
        if statement.verb == "ALTER" and _RENAMED_TO_RESERVED.search(statement.text):
            # SQLite does not ask the authorizer about the new name.
            raise D1Error("D1_ERROR: not authorized: SQLITE_AUTH")
    if any(s.parameter_count for s in statements[:-1]):
        raise D1Error(
            "D1_ERROR: When executing multiple SQL statements in a single call, only the last "
            "statement can have parameters."
        )


def _has_long_step(statement: StatementText) -> bool:
    words = statement.words
    if statement.verb in _LONG_STEPS:
        return True
    is_whole = "WHERE" not in words
    return is_whole and ("COUNT" in words or statement.verb == "DELETE")


def _refuse_count(handle: Handle, statement: StatementText) -> None:
    """Raise for a wrong number of values; SQLite's own complaint goes first, as in D1."""
    nothing = (None,) * statement.parameter_count
    named = {name: None for name, _ in statement.names}
    handle.cursor.execute("EXPLAIN " + statement.text, named or nothing).fetchall()
    raise D1Error(WRONG_COUNT)


def _fetch_rest(handle: Handle, rows: list[Any]) -> None:
    size = _FIRST_SLICE
    while True:
        if time.perf_counter() > handle.deadline:
            # As if SQLite had been interrupted: large rows take time between its steps too.
            error = sqlite3.OperationalError("interrupted")
            error.sqlite_errorcode = sqlite3.SQLITE_INTERRUPT
            raise error
        size = min(2 * size, _LAST_SLICE)
        more = handle.cursor.fetchmany(size)
        rows.extend(more)
        if len(more) < size:
            return
