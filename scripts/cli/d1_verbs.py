"""`edgekeep d1 …`: run SQL and migrations on a D1 database, named as in wrangler."""

import asyncio
import re
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.cli.outcome import OK, REFUSED, CliError, show_json, table, tell
from scripts.cli.place import Place, add_place
from scripts.cli.stores import database, database_row
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from d1_schema.contract import D1Result

_CELL = 60


def add(verbs: Verbs) -> None:
    """Add the group `d1`."""
    group = verbs.group("d1", "run SQL and migrations on D1 databases")
    execute = group.add(
        "execute",
        _execute,
        "Run SQL. Several statements run as one batch: all or none. FILE may be what\n"
        "`sqlite3 .dump` wrote, in UTF-8 or (with its mark) UTF-16; an error names its line.",
        [
            'edgekeep d1 execute DB --command "SELECT count(*) FROM profiles"',
            "edgekeep d1 execute DB --file cleanup.sql --json",
        ],
    )
    source = execute.add_mutually_exclusive_group(required=True)
    source.add_argument("--command", metavar="SQL")
    source.add_argument("--file", type=Path, metavar="FILE")
    migrations = group.group("migrations", "list, apply and create migrations")
    listing = migrations.add(
        "list",
        _list,
        "Print every migration and when it was applied.",
        ["edgekeep d1 migrations list DB", "edgekeep d1 migrations list DB --json"],
    )
    apply = migrations.add(
        "apply",
        _apply,
        "Apply the migrations that are pending. `edgekeep dev` does it at its start.",
        ["edgekeep d1 migrations apply DB", "edgekeep d1 migrations apply DB --state /tmp/trial"],
    )
    create = migrations.add(
        "create",
        _create,
        "Create an empty migration with the next number.",
        [
            "edgekeep d1 migrations create DB relay_create_inbox",
            "edgekeep d1 migrations create DB x",
        ],
    )
    for parser in (execute, listing, apply, create):
        parser.add_argument("database", metavar="DB", help="binding or database_name")
        add_place(parser)
    create.add_argument("name", metavar="NAME", help="letters, digits, _ and -")
    _add_json(execute, listing)


def _add_json(*parsers: ArgumentParser) -> None:
    for parser in parsers:
        parser.add_argument("--json", action="store_true", help="for scripts")


def _execute(options: Namespace) -> int:
    from d1_schema.contract import D1Error
    from d1_schema.sql_file import NotSql, read_sql, say, statements_of

    try:
        sql = options.command if options.file is None else read_sql(options.file)
    except NotSql as error:
        raise CliError(str(error)) from None
    statements = statements_of(sql)
    if not statements:
        raise CliError("There is no SQL statement in it.")

    async def run() -> "list[D1Result]":
        async with database(Place.of(options), options.database) as db:
            return await db.batch([db.prepare(statement.text) for statement in statements])

    try:
        results = asyncio.run(run())
    except D1Error as error:
        name = "" if options.file is None else f"{options.file}: "
        raise CliError(name + say(statements, error), REFUSED) from None
    if options.json:
        show_json([_plain(result) for result in results])
    else:
        for result in results:
            _show(result)
    return OK


def _plain(result: "D1Result") -> dict[str, Any]:
    rows = [{name: _json_value(value) for name, value in row.items()} for row in result.results]
    return {"results": rows, "success": result.success, "meta": asdict(result.meta)}


def _json_value(value: Any) -> Any:
    # A blob becomes a list of numbers, as in wrangler's JSON.
    return list(value) if isinstance(value, bytes) else value


def _show(result: "D1Result") -> None:
    if result.results:
        head = tuple(result.results[0])
        print(table([tuple(map(_cell, row.values())) for row in result.results], head))
    meta = result.meta
    print(f"{len(result.results):,} rows, {meta.changes:,} changes, {meta.duration:.1f} ms")


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    text = f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)
    text = text.replace("\n", "\\n")
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _list(options: Namespace) -> int:
    from d1_schema.migrate import list_migrations

    place = Place.of(options)
    row = database_row(place, options.database)

    async def run() -> list[Any]:
        async with database(place, options.database) as db:
            return list(await list_migrations(db, row.migrations_dir, row.migrations_table))

    found = asyncio.run(run())
    if options.json:
        show_json([{"name": each.name, "applied_at": each.applied_at} for each in found])
    else:
        rows = [(each.name, str(each.applied_at or "pending")) for each in found]
        print(table(rows, ("migration", "applied")))
    return OK


def _apply(options: Namespace) -> int:
    from d1_schema.contract import D1Error
    from d1_schema.migrate import apply_migrations
    from d1_schema.sql_file import NotSql

    place = Place.of(options)
    row = database_row(place, options.database)

    async def run() -> list[str]:
        async with database(place, options.database) as db:
            return await apply_migrations(db, row.migrations_dir, row.migrations_table)

    try:
        names = asyncio.run(run())
    except (D1Error, NotSql) as error:
        raise CliError(str(error), REFUSED) from None
    for name in names:
        print(f"applied {name}")
    if not names:
        tell("Nothing is pending.")
    return OK


def _create(options: Namespace) -> int:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", options.name):
        raise CliError("NAME may have letters, digits, _ and - only.")
    folder = database_row(Place.of(options), options.database).migrations_dir
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [
        int(found.group())
        for path in folder.rglob("*.sql")
        if (found := re.match(r"[0-9]+(?=_)", path.name))
    ]
    path = folder / f"{max(numbers, default=0) + 1:04d}_{options.name}.sql"
    with path.open("x", encoding="utf-8") as file:
        file.write(f"-- {options.name}: say here what it is for. Never edit it once applied.\n")
    print(path)
    return OK
