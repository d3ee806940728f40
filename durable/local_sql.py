"""SQL on the object's own file, with the manners of Cloudflare's (facts/bindings.md D4)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from d1_schema.sqlite import dialect
from d1_schema.sqlite.engine import Error, is_damage, query, rows_of
from d1_schema.sqlite.text import TOO_LONG, StatementText, has_statement, parse_statements
from d1_schema.values import MAX_SAFE_INTEGER, as_number
from durable.errors import ObjectResetError, SqlError
from durable.object_file import MARK
from durable.storage import SqlCursor, SqlStorage
from durable.storage_checks import check_binding, check_sql
from durable.writes import LOST, Writes

_WRONG_COUNT: Final = "Wrong number of parameter bindings for SQL query."
_PAGES: Final = "PRAGMA page_count /*edgekeep's own*/"
_PAGE_SIZE: Final = "PRAGMA page_size /*edgekeep's own*/"

_parse = lru_cache(maxsize=512)(parse_statements)


class LocalSql(SqlStorage):
    """`ctx.storage.sql` on the object's file."""

    __slots__ = ("_writes",)

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    def exec(self, sql: str, *bindings: Any) -> SqlCursor:
        values = [check_binding(value) for value in bindings]
        statements = _checked(check_sql(sql), len(values))
        cursor = SqlCursor([], [], 0, 0)
        for statement in statements:
            is_last = statement is statements[-1]
            cursor = self._run(statement, values if is_last else [])
        return cursor

    def exec_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        given = list(rows)
        if not given:
            return
        [statement, *others] = _checked(check_sql(sql), len(given[0]))
        if others or not statement.writes:
            raise SqlError("exec_many takes one statement that writes.")
        if any(len(row) != statement.parameter_count for row in given):
            raise SqlError(_WRONG_COUNT)
        # By columns, because of one column all values are of one kind, as a rule.
        columns = [_bound_column(column) for column in zip(*given, strict=True)]
        writes = self._writes
        connection = writes.writer()
        authority = writes.file.authority
        assert authority is not None
        authority.is_lifted = False
        try:
            connection.executemany(statement.text, zip(*columns, strict=True))
        except Error as error:
            if is_damage(error):
                raise
            raise SqlError(dialect.describe(error, authority)) from None
        finally:
            authority.is_lifted = True
            if not connection.in_transaction:
                raise ObjectResetError(LOST)

    @property
    def database_size(self) -> int:
        connection = self._writes.reader()
        if connection is None:
            return 0
        [(pages,)] = rows_of(connection, _PAGES)
        [(page_bytes,)] = rows_of(connection, _PAGE_SIZE)
        return int(pages * page_bytes)

    def _run(self, statement: StatementText, values: list[Any]) -> SqlCursor:
        # A read that comes first makes the file too: SELECT needs a database to fail in.
        writes = self._writes
        connection = writes.writer() if statement.writes else writes.reader()
        if connection is None:
            connection = writes.file.connection()
        authority = writes.file.authority
        assert authority is not None
        before = connection.total_changes()
        authority.is_lifted = False
        try:
            columns, found = query(connection, statement.text, values)
            rows = [[as_number(v) for v in row] for row in found]
        except Error as error:
            if is_damage(error):
                raise
            raise SqlError(dialect.describe(error, authority)) from None
        finally:
            authority.is_lifted = True
            if writes.dirty and not connection.in_transaction:
                # INSERT OR ROLLBACK and RAISE(ROLLBACK) end our transaction too.
                raise ObjectResetError(LOST)
        # SQLite counts the rows it visits, but Python cannot ask: rows that came from a table
        # are the nearest there is.
        rows_read = len(rows) if "FROM" in statement.words else 0
        return SqlCursor(columns, rows, rows_read, connection.total_changes() - before)


def _bound_column(column: tuple[Any, ...]) -> Sequence[Any]:
    kinds = set(map(type, column))
    if kinds == {bytes} or (kinds == {str} and all(map(str.isascii, column))):
        return column
    if kinds == {int} and min(column) > -(MAX_SAFE_INTEGER) and max(column) < MAX_SAFE_INTEGER:
        return list(map(float, column))
    return list(map(check_binding, column))


def _checked(sql: str, count: int) -> Sequence[StatementText]:
    if MARK in sql:
        # Prepared statements are kept by their text: ours must stay out of reach.
        raise SqlError("not authorized: SQLITE_AUTH")
    statements = _parse(sql)
    if "\0" in sql or not statements or not all(has_statement(s.text) for s in statements):
        raise SqlError("SQL code did not contain a statement.")
    if any(s.is_too_long for s in statements):
        raise SqlError(TOO_LONG)
    if any(s.parameter_count for s in statements[:-1]):
        raise SqlError(
            "When executing multiple SQL statements in a single call, only the last statement "
            "can have parameters."
        )
    if statements[-1].parameter_count != count:
        raise SqlError(_WRONG_COUNT)
    return statements
