"""The cursor of SQL storage, alike over the object's own file and at the edge."""

from collections.abc import Iterator
from typing import Any

from durable.errors import SqlError
from durable.storage import Row, SqlCursor


class HeldCursor(SqlCursor):
    """Rows read at once: later writes cannot change what a cursor shows."""

    __slots__ = ("_next", "_rows", "column_names", "rows_read", "rows_written")

    def __init__(
        self, columns: list[str], rows: list[list[Any]], rows_read: int, rows_written: int
    ) -> None:
        self.column_names = columns
        self.rows_read = rows_read
        self.rows_written = rows_written
        self._rows = rows
        self._next = 0

    def __iter__(self) -> Iterator[Row]:
        while (row := self.next()) is not None:
            yield row

    def next(self) -> Row | None:
        if self._next >= len(self._rows):
            return None
        self._next += 1
        # Of columns with one name the last wins, as in a JavaScript object.
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
