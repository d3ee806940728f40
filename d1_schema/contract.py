"""
What every D1 database promises, whatever holds the rows.

Public methods check and convert once, here, and call a few primitives that the
adapters implement; so a wrong call fails alike on a laptop and at the edge.
Source: Cloudflare's D1 Workers API, as measured in facts/bindings.md B.

Not promised: interactive transactions (there are none; `batch` is the only unit
of several statements), the order of concurrent writes, and the exact counts of
rows read and written, which each engine counts in its own way.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from d1_schema.values import Parameter, Value, is_too_big, to_plain, without_surrogates

NO_STATEMENTS: Final = "No SQL statements detected."
TOO_BIG: Final = "string or blob too big: SQLITE_TOOBIG"

# What D1 says when it is away for a moment (bindings.md B5 and Cloudflare's page "Debug D1"), and
# the codes by which a disk says so.
_PASSING = re.compile(
    r"overloaded|was reset|be reset|DB reset|[Nn]etwork connection lost|transient"
)
_PASSING_CODES = frozenset({"SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_LOCKED"})
_CODES = re.compile(r": (SQLITE_[A-Z]+)(?: \(extended: (SQLITE_[A-Z_]+)\))?$")


class D1Error(Exception):
    """
    A statement failed; the text is D1's, e.g. "D1_ERROR: no such table: t: SQLITE_ERROR".

    Nothing of the call that raised it was kept.
    """

    code: str
    """SQLite's result code, e.g. "SQLITE_CONSTRAINT"; "" when D1 itself refused."""
    extended: str
    """The extended code, e.g. "SQLITE_CONSTRAINT_UNIQUE", or ""."""
    statement: int | None
    """Which of a batch it was, from 0 on; None when nobody told, as at Cloudflare."""

    def __init__(self, message: str, statement: int | None = None) -> None:
        super().__init__(message)
        self.statement = statement
        found = _CODES.search(message)
        self.code = found[1] if found else ""
        self.extended = (found[2] or "") if found else ""

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed soon: the database was away or overloaded."""
        return self.code in _PASSING_CODES or (not self.code and bool(_PASSING.search(str(self))))


class D1TypeError(D1Error, TypeError):
    """A parameter has a type that D1 cannot bind; no statement was run."""


@dataclass(frozen=True, slots=True)
class D1Meta:
    """What a statement did. Names as at Cloudflare."""

    served_by: str
    duration: float
    """Milliseconds."""
    changes: int
    """Rows inserted, updated or deleted, those of triggers and cascades included."""
    last_row_id: int
    """The newest rowid that this database has inserted, also after a SELECT."""
    changed_db: bool
    size_after: int
    """Bytes of the database, in whole pages."""
    rows_read: int
    rows_written: int


@dataclass(frozen=True, slots=True)
class D1Result:
    """The answer to `all` and `run`: rows as dicts (of equal names, the last wins)."""

    success: bool
    meta: D1Meta
    results: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class D1ExecResult:
    """The answer to `exec`."""

    count: int
    """Lines that were run."""
    duration: float
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class D1Rows:
    """What an adapter returns for one statement: values already in contract form."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    meta: D1Meta


class D1Statement:
    """A statement and its parameters. Immutable: `bind` returns a new one."""

    __slots__ = ("parameters", "runner", "sql")

    def __init__(self, runner: "D1Runner", sql: str, parameters: tuple[Parameter, ...]) -> None:
        self.runner = runner
        self.sql = sql
        self.parameters = parameters

    def bind(self, *values: object) -> "D1Statement":
        """
        Return this statement with *values*, replacing earlier ones.

        Numbers and bools bind as REAL (bindings.md B2): write CAST(? AS INTEGER)
        where integer arithmetic or text matters.

        Raises:
            D1TypeError: a type that D1 cannot bind, or an int beyond ±(2**53 - 1).
            D1Error: a value longer than 2,000,000 bytes.
        """
        try:
            parameters = tuple(map(to_plain, values))
        except TypeError as error:
            raise D1TypeError(f"D1_TYPE_ERROR: {error}") from None
        if any(map(is_too_big, parameters)):
            raise D1Error(f"D1_ERROR: {TOO_BIG}")
        return D1Statement(self.runner, self.sql, parameters)

    async def first(self, column: str | None = None) -> Any:
        """
        Return the first row as a dict, or its *column*; None when there is no row.

        Raises:
            D1Error: the statement failed, or the row has no such column.
            TypeError: *column* is not a str.
        """
        if column is not None and not isinstance(column, str):
            raise TypeError(f"first() takes the name of a column, not {type(column).__name__}")
        found = await self.runner.run_first(self.sql, self.parameters)
        if found is None:
            return None
        columns, row = found
        record = dict(zip(columns, row, strict=True))
        if column is None:
            return record
        if column not in record:
            raise D1Error(f"D1_COLUMN_NOTFOUND: Column not found ({column})")
        return record[column]

    async def all(self) -> D1Result:
        """
        Run the statement and return rows and meta.

        Raises:
            D1Error: the statement failed.
        """
        (rows,) = await self.runner.run_batch([(self.sql, self.parameters)])
        return _as_result(rows)

    async def run(self) -> D1Result:
        """Do as `all`: at Cloudflare too, the two are one."""
        return await self.all()

    async def raw(self, *, column_names: bool = False) -> list[list[Any]]:
        """
        Run the statement and return rows as lists.

        With *column_names* the names come first, also when there is no row.

        Raises:
            D1Error: the statement failed.
        """
        columns, rows = await self.runner.run_raw(self.sql, self.parameters)
        lists: list[list[Any]] = [list(columns)] if column_names else []
        lists.extend(map(list, rows))
        return lists


def _checked_sql(verb: str, sql: object) -> str:
    if not isinstance(sql, str):
        raise TypeError(f"{verb}() takes SQL as str, not {type(sql).__name__}")
    return sql if sql.isascii() else without_surrogates(sql)


def _as_result(rows: D1Rows) -> D1Result:
    columns = rows.columns
    records: list[dict[str, Any]] = [dict(zip(columns, row, strict=True)) for row in rows.rows]
    return D1Result(success=True, meta=rows.meta, results=records)


class D1Runner(ABC):
    """What runs statements: a database, or a session of one."""

    def prepare(self, sql: str) -> D1Statement:
        """
        Return a statement without parameters. Nothing is sent before it runs.

        A lone surrogate becomes U+FFFD, as in a parameter.

        Raises:
            TypeError: *sql* is not a str.
        """
        return D1Statement(self, _checked_sql("prepare", sql), ())

    async def batch(self, statements: Iterable[D1Statement]) -> list[D1Result]:
        """
        Run *statements* in one transaction: all are kept, or none is.

        Raises:
            D1Error: the first failure, or there are no statements.
            TypeError: an element was not made by `prepare`.
        """
        if not isinstance(statements, Iterable):
            raise TypeError(f"batch() takes statements, not {type(statements).__name__}")
        listed = list(statements)
        for statement in listed:
            if not isinstance(statement, D1Statement):
                raise TypeError(
                    f"batch() takes statements made by prepare(), not {type(statement).__name__}"
                )
        if not listed:
            raise D1Error(f"D1_ERROR: {NO_STATEMENTS}")
        found = await self.run_batch([(s.sql, s.parameters) for s in listed])
        return [_as_result(rows) for rows in found]

    @abstractmethod
    async def run_first(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Value]] | None:
        """Primitive: run one statement; return columns and first row, or None."""

    async def run_raw(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        """
        Primitive: run one statement; return columns and rows, columns of one name kept apart.

        Of its own only where `run_batch` tells rows by name, as Cloudflare's binding does.
        """
        (found,) = await self.run_batch([(sql, parameters)])
        return found.columns, found.rows

    @abstractmethod
    async def run_batch(
        self, statements: Sequence[tuple[str, tuple[Parameter, ...]]]
    ) -> list[D1Rows]:
        """Primitive: run at least one statement in one transaction."""


class D1Session(D1Runner):
    """Reads that never go back in time, even where the database has replicas."""

    @abstractmethod
    def get_bookmark(self) -> str | None:
        """
        Return how far this session has seen, None before its first statement.

        Opaque; of two bookmarks of a database, the later one is greater as text.
        """


class D1Database(D1Runner):
    """One D1 database."""

    async def exec(self, sql: str) -> D1ExecResult:
        """
        Run each line of *sql* as a statement of its own, all in one transaction.

        For maintenance: no parameters, and a statement cannot span lines. A failure
        names line 1 with the first line's text whatever failed, as at Cloudflare.

        Raises:
            D1Error: starts with "D1_EXEC_ERROR: "; nothing was kept.
            TypeError: *sql* is not a str.
        """
        sql = _checked_sql("exec", sql)
        lines = [line.strip() for line in sql.split("\n") if line.strip()]
        try:
            if not lines:
                raise D1Error(f"D1_ERROR: {NO_STATEMENTS}")
            duration = await self.run_lines(lines)
        except D1Error as error:
            text = str(error).removeprefix("D1_ERROR: ")
            if not text.startswith("D1_EXEC_ERROR: "):
                first = lines[0] if lines else ""
                text = f"D1_EXEC_ERROR: Error in line 1: {first}: {text}"
            raise D1Error(text) from error
        return D1ExecResult(count=len(lines), duration=duration)

    @abstractmethod
    async def run_lines(self, lines: Sequence[str]) -> float:
        """Primitive: run every line in one transaction; return milliseconds."""

    def with_session(self, constraint: str | None = None) -> D1Session:
        """
        Open a session: "first-unconstrained" (also None and ""), "first-primary",
        or a bookmark to continue from. An unknown bookmark is accepted.

        Raises:
            TypeError: *constraint* is neither a str nor None.
        """
        if constraint is not None and not isinstance(constraint, str):
            raise TypeError(f"with_session() takes a str, not {type(constraint).__name__}")
        return self._session(constraint)

    @abstractmethod
    def _session(self, constraint: str | None) -> D1Session:
        """Primitive: `with_session`, checked."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go of the database. May be called twice."""
