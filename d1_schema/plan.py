"""
What a text of SQL is: its statements, and the way it has to take.

Worked out once for each text; the embedded adapter keeps the newest plans.
"""

import re
import time
from collections.abc import Generator, Sequence
from itertools import islice
from typing import Any, Final, NoReturn

import apsw

from d1_schema.contract import NO_STATEMENTS, D1Error
from d1_schema.sqlite.authority import TRANSACTION_REFUSED
from d1_schema.sqlite.engine import query
from d1_schema.sqlite.handle import Handle
from d1_schema.sqlite.text import (
    TOO_LONG,
    TRANSACTION_WORDS,
    StatementText,
    has_statement,
    parse_statements,
)
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
            Error: SQLite's own verdict.
        """
        for statement in self.statements[:-1]:
            handle.cursor.execute(statement.text).fetchall()
        if len(values) != self.last.parameter_count:
            _refuse_count(handle, self.last)
        columns, found = query(handle.connection, self.last.text, values)
        rows = _fetch(found, handle.deadline)
        return columns, [tuple(map(from_plain, row)) for row in rows]

    def run_first(
        self, handle: Handle, values: Sequence[Parameter]
    ) -> tuple[list[str], list[Value]] | None:
        """Run a single reading statement and return columns and first row, or None."""
        if len(values) != self.last.parameter_count:
            _refuse_count(handle, self.last)
        cursor = handle.cursor.execute(self.last.text, values)
        try:
            row = cursor.fetchone()
            if row is None:
                return None
            columns = [name for name, _ in cursor.get_description()]
            has_more = cursor.fetchone() is not None
        except UnicodeDecodeError:
            columns, rows = self.run(handle, values)
            return columns, rows[0]
        if has_more:
            # A statement in the middle of its rows would hold back writes and checkpoints.
            cursor.close()
            handle.cursor = handle.connection.cursor()
        return columns, [from_plain(value) for value in row]


def _refuse(sql: str, statements: list[StatementText]) -> None:
    """Raise what D1 answers to texts that never reach SQLite."""
    if not sql:
        raise D1Error(f"D1_ERROR: {NO_STATEMENTS}")
    if not statements or not all(has_statement(s.text) for s in statements):
        raise D1Error("D1_ERROR: SQL code did not contain a statement.")
    if "\0" in sql:
        # SQLite stops there, and D1 finds no statement in the rest.
        raise D1Error("D1_ERROR: SQL code did not contain a statement.")
    for statement in statements:
        if statement.is_too_long:
            raise D1Error(f"D1_ERROR: {TOO_LONG}")
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


def _refuse_count(handle: Handle, statement: StatementText) -> NoReturn:
    """Raise for a wrong number of values; SQLite's own complaint goes first, as in D1."""
    nothing = (None,) * statement.parameter_count
    handle.cursor.execute("EXPLAIN " + statement.text, nothing).fetchall()
    raise D1Error(WRONG_COUNT)


def _fetch(found: Generator[Any], deadline: float) -> list[Any]:
    rows: list[Any] = []
    size = _FIRST_SLICE
    while True:
        part = list(islice(found, size))
        rows.extend(part)
        if len(part) < size:
            return rows
        if time.perf_counter() > deadline:
            # As if SQLite had been interrupted: large rows take time between its steps too.
            found.close()
            raise apsw.InterruptError("interrupted")
        size = min(2 * size, _LAST_SLICE)
