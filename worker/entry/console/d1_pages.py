"""
D1: tables, schema, rows, migrations, and a SQL box that reads unless it is told to write.

Everything here but the box's writing goes through a connection that cannot write (`sql_look`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web

from d1_schema.contract import D1Database, D1Error
from d1_schema.migrate import migration_names
from d1_schema.sqlite.engine import Connection, Error, rows_of
from worker.entry.config import D1Binding
from worker.entry.console import positions, sql_look
from worker.entry.console.sql_look import SqlAnswer, SqlRefusedError
from worker.entry.console.table_reader import (
    BadPositionError,
    quoted,
    read_rows,
    relation,
    relations,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.entry.console.frame import Console, Page

T = TypeVar("T")

_WRITE: Final = "write"


async def databases(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the databases that the configuration binds."""
    rows = [
        {"row": row, "size": _size(console, row), "is_open": _database(console, row) is not None}
        for row in console.opened.config.d1
    ]
    return console.render(request, "d1.html", databases=rows)


async def tables(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: tables and views of one database."""
    row = _bound(console, request)
    found = await _read(console, row, relations)
    shown = [one for one in found if one.kind != "shadow"]
    hidden = [one for one in found if one.kind == "shadow"]
    return console.render(request, "d1_tables.html", db=row, relations=shown, shadows=hidden)


async def table(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: one table or view: columns, indexes, triggers, CREATE, and a page of its rows."""
    row = _bound(console, request)
    name = request.query.get("name", "")
    of = f"d1:{row.binding}:{name}"
    begin = positions.begin(console, request, of)

    def read(connection: Connection) -> Any:
        found = relation(connection, name)
        if found is None:
            return None
        try:
            return found, read_rows(connection, found, begin), ""
        except Error as error:
            # A view over a table that is gone, or one that takes too long.
            return found, None, f"The rows cannot be read: {error}."

    try:
        answer = await _read(console, row, read)
    except BadPositionError:
        raise positions.bad_position() from None
    if answer is None:
        raise web.HTTPNotFound(text="This database has no such table or view.")
    found, page, failure = answer
    return console.render(
        request,
        "d1_table.html",
        db=row,
        table=found,
        page=page,
        failure=failure,
        is_first=begin is None,
        next=positions.seal(console, of, page.next) if page is not None else None,
        select=f"SELECT * FROM {quoted(found.name)} LIMIT 100",  # noqa: S608 - shown
    )


async def migrations(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the migrations, in order, and when each was applied."""
    row = _bound(console, request)

    def read(connection: Connection) -> dict[str, str]:
        if relation(connection, row.migrations_table) is None:
            return {}
        sql = f"SELECT name, applied_at FROM {quoted(row.migrations_table)} ORDER BY id"  # noqa: S608
        return dict(rows_of(connection, sql))

    applied = await _read(console, row, read)
    try:
        names = migration_names(row.migrations_dir)
    except FileNotFoundError:
        names = []
    listed = [(name, applied.get(name), "") for name in names]
    gone = [(name, when, "its file is gone") for name, when in applied.items() if name not in names]
    return console.render(request, "d1_migrations.html", db=row, migrations=[*listed, *gone])


async def sql_box(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the box; `sql` in the address fills it and runs nothing."""
    row = _bound(console, request)
    return _box(console, request, row, request.query.get("sql", ""))


async def run_sql(console: "Console", request: web.Request) -> web.StreamResponse:
    """POST: run what is in the box; it writes only when two fields say so."""
    row = _bound(console, request)
    fields = await console.form(request)
    sql = fields.get("sql", "")
    # Browsers send line breaks of a textarea as CR LF; the SQL was not written so.
    sql = sql.replace("\r\n", "\n")
    writes = fields.get("mode") == _WRITE
    if writes and fields.get("allow_writes") != "yes":
        failure = "Nothing was run. To write, tick “Allow writes” as well: it never stays ticked."
        return _box(console, request, row, sql, failure=failure, status=400)
    try:
        if writes:
            done = await _run_writing(console, row, sql)
        else:
            done = await sql_look.run_reading(_file(console, row), sql)
    except SqlRefusedError as error:
        return _box(
            console, request, row, sql, error.done, str(error), error.hint, wrote=writes, status=400
        )
    except D1Error as error:
        hint = "Nothing of it was kept." if writes else ""
        return _box(console, request, row, sql, [], str(error), hint, wrote=writes, status=400)
    except Error as error:
        return _box(console, request, row, sql, failure=f"{error}.", status=503)
    return _box(console, request, row, sql, done, wrote=writes)


async def _run_writing(console: "Console", row: D1Binding, sql: str) -> list[SqlAnswer]:
    """Run *sql* through the contract, as a Worker would: one batch, all of it or nothing."""
    db = _database(console, row)
    if db is None:
        raise SqlRefusedError("This host has the database not open.", [])
    texts = sql_look.statements_of(sql)
    answers = await db.run_batch([(text, ()) for text in texts])
    return [sql_look.outcome_of(text, answer) for text, answer in zip(texts, answers, strict=True)]


def _box(
    console: "Console",
    request: web.Request,
    row: D1Binding,
    sql: str,
    outcomes: list[SqlAnswer] | None = None,
    failure: str = "",
    hint: str = "",
    *,
    wrote: bool = False,
    status: int = 200,
) -> web.Response:
    return console.render(
        request,
        "d1_sql.html",
        status,
        db=row,
        sql=sql,
        outcomes=outcomes,
        failure=failure,
        hint=hint,
        wrote=wrote,
        rows_shown=sql_look.ROWS_SHOWN,
        seconds=sql_look.SECONDS,
    )


# -- the database ----------------------------------------------------------------------------------


def _bound(console: "Console", request: web.Request) -> D1Binding:
    for row in console.opened.config.d1:
        if row.binding == request.match_info["binding"]:
            return row
    raise web.HTTPNotFound(text="The configuration binds no D1 database of this name.")


def _file(console: "Console", row: D1Binding) -> Path:
    return console.opened.stores.database_file(row.binding)


def _size(console: "Console", row: D1Binding) -> int | None:
    """Bytes in the file, without what the write-ahead log adds; None while there is none."""
    try:
        return _file(console, row).stat().st_size
    except FileNotFoundError:
        return None


def _database(console: "Console", row: D1Binding) -> D1Database | None:
    found = getattr(console.env, row.binding.lower(), None)
    return found if isinstance(found, D1Database) else None


async def _read(console: "Console", row: D1Binding, work: "Callable[[Connection], T]") -> T:
    """Run statements of the console itself, which the authorizer need not ask about."""
    path = _file(console, row)
    if not path.is_file():
        raise web.HTTPNotFound(text="This database has no file yet: nothing has opened it.")

    def lifted(connection: Connection, authority: sql_look.ReadingAuthority) -> T:
        with authority.lifted():
            return work(connection)

    try:
        return await sql_look.look(path, lifted)
    except Error as error:
        raise web.HTTPServiceUnavailable(
            text=f"The database cannot be read at this moment: {error}."
        ) from None


PAGES: "tuple[tuple[str, str, Page], ...]" = (
    ("GET", "/d1", databases),
    ("GET", "/d1/{binding}", tables),
    ("GET", "/d1/{binding}/table", table),
    ("GET", "/d1/{binding}/migrations", migrations),
    ("GET", "/d1/{binding}/sql", sql_box),
    ("POST", "/d1/{binding}/sql", run_sql),
)
