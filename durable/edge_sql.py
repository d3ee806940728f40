"""`ctx.storage.sql` at the edge. Rows are read at once: a later write would end the cursor."""

from collections.abc import Iterator
from typing import Any

from d1_schema.values import MAX_SAFE_INTEGER, to_plain
from durable.edge_values import from_cell, js_data, sql_errors
from durable.errors import SqlError
from durable.storage import Row, SqlCursor, SqlStorage


class EdgeCursor(SqlCursor):
    """The rows of one statement, converted to plain Python."""

    __slots__ = ("_next", "_rows", "column_names", "rows_read", "rows_written")

    def __init__(self, js_cursor: Any) -> None:
        self.column_names = [str(name) for name in js_cursor.columnNames]
        rows = js_cursor.raw().toArray().to_py()
        self._rows = [[from_cell(cell) for cell in row] for row in rows]
        self.rows_read = int(js_cursor.rowsRead)
        self.rows_written = int(js_cursor.rowsWritten)
        self._next = 0

    def __iter__(self) -> Iterator[Row]:
        while (row := self.next()) is not None:
            yield row

    def next(self) -> Row | None:
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return dict(zip(self.column_names, self._rows[self._next - 1], strict=True))

    def to_array(self) -> list[Row]:
        return list(self)

    def one(self) -> Row:
        row = self.next()
        if row is None:
            raise SqlError("Expected exactly one result from SQL query, but got no results.")
        if self.next() is not None:
            raise SqlError("Expected exactly one result from SQL query, but got multiple results.")
        return row

    def raw(self) -> Iterator[list[Any]]:
        while self._next < len(self._rows):
            self._next += 1
            yield self._rows[self._next - 1]


class EdgeSql(SqlStorage):
    """SQL on the object's own database."""

    __slots__ = ("_js",)

    def __init__(self, js_sql: Any) -> None:
        self._js = js_sql

    def exec(self, sql: str, *bindings: Any) -> SqlCursor:
        values = [to_binding(value) for value in bindings]
        with sql_errors():
            return EdgeCursor(self._js.exec(sql, *values))

    @property
    def database_size(self) -> int:
        return int(self._js.databaseSize)


def to_binding(value: Any) -> Any:
    """
    Return *value* as JavaScript binds it; None crosses as undefined, which binds as NULL.

    Raises:
        TypeError: a type that cannot be bound, or an int beyond 2**53 (a BigInt over there).
    """
    if isinstance(value, bool):
        return value  # binds as the text 'true' or 'false'
    if isinstance(value, int) and not -MAX_SAFE_INTEGER < value < MAX_SAFE_INTEGER:
        raise TypeError("Cannot convert a BigInt value to a number")
    plain = to_plain(value)
    return js_data(plain) if isinstance(plain, bytes) else plain
