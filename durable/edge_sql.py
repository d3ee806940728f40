"""`ctx.storage.sql` at the edge. Rows are read at once: a later write would end the cursor."""

from typing import Any

from durable.edge_values import from_cell, sql_errors
from durable.storage import SqlCursor, SqlStorage
from durable.storage_checks import check_binding, check_sql
from worker import interop


class EdgeSql(SqlStorage):
    """SQL on the object's own database."""

    __slots__ = ("_js",)

    def __init__(self, js_sql: Any) -> None:
        self._js = js_sql

    def exec(self, sql: str, *bindings: Any) -> SqlCursor:
        # None crosses as undefined, which binds as NULL.
        values = [_crossing(check_binding(value)) for value in bindings]
        with sql_errors():
            return _cursor(self._js.exec(check_sql(sql), *values))

    @property
    def database_size(self) -> int:
        return int(self._js.databaseSize)


def _crossing(value: Any) -> Any:
    return interop.buffer(value) if isinstance(value, bytes) else value


def _cursor(js_cursor: Any) -> SqlCursor:
    rows = js_cursor.raw().toArray().to_py()
    return SqlCursor(
        [str(name) for name in js_cursor.columnNames],
        [[from_cell(cell) for cell in row] for row in rows],
        int(js_cursor.rowsRead),
        int(js_cursor.rowsWritten),
    )
