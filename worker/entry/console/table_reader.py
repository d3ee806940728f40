"""
Reads what a SQLite database holds: tables, columns, indexes, triggers, and rows page by page.

Works on any connection that may read; the caller decides which, and how long it may take. Rows
are paged by key (rowid, or the primary key of a table without one), never by counting from the
start, so that page 10,000 costs what page 1 costs. Names that begin with `_cf_` or `sqlite_` are
the engine's own and stay hidden, as in D1.
"""

import base64
import binascii
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from d1_schema.sqlite.engine import Connection, Error, query, rows_of
from worker.entry.console.value_cells import Cell, cell

PAGE_ROWS: Final = 50
PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends early when its rows hold more than this: 50 rows could hold 100 MB."""
COUNT_BOUND: Final = 10_000
"""Rows are counted up to here: a full count walks through the whole table."""

_TABLES: Final = r"""
SELECT l.name, l.type, l.wr, s.sql FROM pragma_table_list AS l
LEFT JOIN sqlite_master AS s ON s.name = l.name AND s.type IN ('table', 'view')
WHERE l.schema = 'main' AND l.name NOT LIKE '\_cf\_%' ESCAPE '\'
AND l.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY l.name
"""
_ROWID_NAMES: Final = ("rowid", "_rowid_", "oid")


class BadPositionError(ValueError):
    """A position that does not belong to the table."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column as declared."""

    name: str
    type: str
    is_required: bool
    default: str | None
    key_position: int
    """1 for the first column of the primary key, 0 outside it."""


@dataclass(frozen=True, slots=True)
class Index:
    """One index: its columns in order ("(expression)" where it is none)."""

    name: str
    columns: list[str]
    is_unique: bool
    sql: str | None


@dataclass(frozen=True, slots=True)
class Relation:
    """One table or view; *rows* is None where counting failed or was not asked for."""

    name: str
    kind: str
    """"table", "view", "virtual" or "shadow"."""
    is_without_rowid: bool
    sql: str | None
    columns: list[Column] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    triggers: list[tuple[str, str]] = field(default_factory=list)
    rows: int | None = None

    @property
    def rows_text(self) -> str:
        """The count in words; it stops at `COUNT_BOUND`."""
        if self.rows is None:
            return "not counted"
        return f"more than {COUNT_BOUND:,}" if self.rows > COUNT_BOUND else f"{self.rows:,}"


@dataclass(frozen=True, slots=True)
class RowsPage:
    """A page of rows; *next* is the position of the following one, None on the last."""

    columns: list[str]
    rows: list[list[Cell]]
    next: list[Any] | None


def quoted(name: str) -> str:
    """Return *name* as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def relations(connection: Connection, *, counted: bool = True) -> list[Relation]:
    """Return tables and views by name, with bounded counts where *counted*."""
    found = rows_of(connection, _TABLES)
    return [
        Relation(
            name,
            kind,
            bool(wr),
            sql,
            rows=_count(connection, name) if counted and kind != "view" else None,
        )
        for name, kind, wr, sql in found
    ]


def relation(connection: Connection, name: str) -> Relation | None:
    """Return the table or view *name* with everything about it; None when there is none."""
    found = next((r for r in relations(connection, counted=False) if r.name == name), None)
    if found is None:
        return None
    return Relation(
        found.name,
        found.kind,
        found.is_without_rowid,
        found.sql,
        _columns(connection, name),
        _indexes(connection, name),
        rows_of(
            connection,
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? "
            "ORDER BY name",
            (name,),
        ),
        _count(connection, name) if found.kind != "view" else None,
    )


def _count(connection: Connection, name: str) -> int | None:
    bounded = f"SELECT 1 FROM {quoted(name)} LIMIT {COUNT_BOUND + 1}"  # noqa: S608 - quoted
    try:
        [(rows,)] = rows_of(connection, f"SELECT count(*) FROM ({bounded})")  # noqa: S608
    except Error:
        # A virtual table whose module is missing, or a table that takes too long.
        return None
    return int(rows)


def _columns(connection: Connection, name: str) -> list[Column]:
    # Hidden columns (1) belong to virtual tables; generated ones (2, 3) are shown.
    rows = rows_of(
        connection,
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?) '
        "WHERE hidden <> 1 ORDER BY cid",
        (name,),
    )
    return [Column(n, kind, bool(required), default, pk) for n, kind, required, default, pk in rows]


def _indexes(connection: Connection, name: str) -> list[Index]:
    listed = rows_of(
        connection,
        'SELECT l.name, l."unique", s.sql FROM pragma_index_list(?) AS l '
        "LEFT JOIN sqlite_master AS s ON s.name = l.name AND s.type = 'index' ORDER BY l.name",
        (name,),
    )
    return [
        Index(
            index,
            [
                column if column is not None else "(expression)"
                for (column,) in rows_of(
                    connection, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,)
                )
            ],
            bool(unique),
            sql,
        )
        for index, unique, sql in listed
    ]


# -- rows ----------------------------------------------------------------------------------------


def read_rows(
    connection: Connection,
    table: Relation,
    position: Sequence[Any] | None,
    limit: int = PAGE_ROWS,
) -> RowsPage:
    """
    Return the rows of *table* behind *position* (None: from the start).

    Raises:
        BadPositionError: *position* was not made for this table.
        Error: SQLite cannot read it, or was interrupted.
    """
    key = _key_of(table)
    if not key:
        return _by_offset(connection, table, position, limit)
    values = [] if position is None else _values(position)
    if values and len(values) != len(key):
        raise BadPositionError("not a position in this table")
    names = ", ".join(key)
    behind = f"WHERE ({names}) > ({', '.join('?' * len(key))})" if values else ""
    sql = f"SELECT {names}, * FROM {quoted(table.name)} {behind} ORDER BY {names} LIMIT ?"  # noqa: S608
    return _collect(query(connection, sql, (*values, limit + 1)), limit, len(key))


def _collect(answer: tuple[list[str], Generator[Any]], limit: int, width: int) -> RowsPage:
    """Read up to *limit* rows whose first *width* columns are their key."""
    rows: list[list[Cell]] = []
    last: list[Any] = []
    room = PAGE_BYTES
    more = False
    columns, found = answer
    for row in found:
        if len(rows) == limit or (rows and room < 0):
            more = True
            break
        last = list(row[:width])
        room -= sum(len(value) for value in row if isinstance(value, str | bytes))
        rows.append([cell(value) for value in row[width:]])
    found.close()
    return RowsPage(columns[width:], rows, [_to_json(value) for value in last] if more else None)


def _by_offset(
    connection: Connection, table: Relation, position: Sequence[Any] | None, limit: int
) -> RowsPage:
    """Views have no key: count from the start."""
    skipped = 0
    if position is not None:
        values = _values(position)
        if len(values) != 1 or type(values[0]) is not int or not 0 <= values[0] < 2**53:
            raise BadPositionError("not a position in this view")
        skipped = values[0]
    sql = f"SELECT * FROM {quoted(table.name)} LIMIT ? OFFSET ?"  # noqa: S608 - quoted
    page = _collect(query(connection, sql, (limit + 1, skipped)), limit, 0)
    following = None if page.next is None else [_to_json(skipped + len(page.rows))]
    return RowsPage(page.columns, page.rows, following)


def _key_of(table: Relation) -> list[str]:
    """The columns that put the rows in order, as SQL; none for views."""
    if table.kind == "view":
        return []
    if table.is_without_rowid:
        parts = sorted((c for c in table.columns if c.key_position), key=lambda c: c.key_position)
        return [quoted(column.name) for column in parts]
    taken = {column.name.lower() for column in table.columns}
    # A table may have columns of all three names: then it is read like a view.
    return next(([name] for name in _ROWID_NAMES if name not in taken), [])


def _to_json(value: Any) -> Any:
    return {"b": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _values(position: Sequence[Any]) -> list[Any]:
    if not isinstance(position, list):
        raise BadPositionError("not a position")
    return [_from_json(value) for value in position]


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        try:
            return base64.b64decode(value["b"], validate=True)
        except (KeyError, TypeError, binascii.Error):
            raise BadPositionError("not a position") from None
    if not isinstance(value, str | int | float):
        raise BadPositionError("not a position")
    return value
