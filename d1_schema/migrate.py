"""
Migrations as `wrangler d1 migrations` keeps them: same table, same names, same order.

A database that was migrated here can be taken over by wrangler, and the other way
round. Works through the contract only. Source: facts/bindings.md B9.

Promises:
1. A migration and its row in the table are one batch: both, or neither.
2. A failure stops; what was applied before stays applied and recorded.
3. A migration is known by its name alone: editing a file changes nothing, renaming
   it runs it again.
Enforcement: tests/bindings/test_migrate.py.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from d1_schema.contract import D1Database, D1Error
from d1_schema.sql_file import Statement, read_sql, say, statements_of

DEFAULT_TABLE: Final = "d1_migrations"

_NUMBER = re.compile(r"(\d+)_")


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration, pending or applied."""

    name: str
    """Path below the directory, with slashes, e.g. "0001_profiles_create_table.sql"."""
    applied_at: str | None
    """UTC, "YYYY-MM-DD HH:MM:SS"; None while pending."""


class MigrationError(D1Error):
    """A migration failed; nothing of it was kept. The text begins with its name."""

    def __init__(self, name: str, statements: list[Statement], error: D1Error) -> None:
        super().__init__(f"{name}: {say(statements, error)}")
        self.name = name
        self.code, self.extended = error.code, error.extended


async def apply_migrations(
    db: D1Database, directory: Path, table: str = DEFAULT_TABLE
) -> list[str]:
    """
    Apply what is pending in *directory*, in order; return the names applied now.

    Raises:
        MigrationError: a file failed; those after it were not tried.
        FileNotFoundError: there is no such directory.
        ValueError: *table* cannot be a table's name, or a file is no text (`NotSql`).
    """
    applied_now: list[str] = []
    for migration in await list_migrations(db, directory, table):
        if migration.applied_at is not None:
            continue
        if await _apply(db, directory, migration.name, table):
            applied_now.append(migration.name)
    return applied_now


async def list_migrations(
    db: D1Database, directory: Path, table: str = DEFAULT_TABLE
) -> list[Migration]:
    """
    Return the migrations of *directory*, in order, and when each was applied.

    Creates the table when it is missing, as wrangler does. Errors as above.
    """
    quoted = _quoted(table)
    names = migration_names(directory)
    # Column for column wrangler's own table.
    await db.prepare(
        f"""CREATE TABLE IF NOT EXISTS {quoted}(
\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,
\t\tname       TEXT UNIQUE,
\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)"""
    ).run()
    when = await _applied(db, table)
    return [Migration(name, when.get(name)) for name in names]


async def _applied(db: D1Database, table: str) -> dict[str, str]:
    sql = f"SELECT name, applied_at FROM {_quoted(table)} ORDER BY id"  # noqa: S608 - quoted
    result = await db.prepare(sql).all()
    return {row["name"]: row["applied_at"] for row in result.results}


async def _apply(db: D1Database, directory: Path, name: str, table: str) -> bool:
    """Apply one file; False when another process has just done so."""
    statements = statements_of(read_sql(directory / name))
    record = f"INSERT INTO {_quoted(table)} (name) VALUES (?)"  # noqa: S608 - quoted
    try:
        await db.batch(
            [*(db.prepare(one.text) for one in statements), db.prepare(record).bind(name)]
        )
    except D1Error as error:
        # Two processes that start together find the same file pending.
        if name in await _applied(db, table):
            return False
        raise MigrationError(name, statements, error) from error
    return True


def migration_names(directory: Path) -> list[str]:
    """
    Return the names of the migrations in *directory*, in the order in which they are applied.

    Raises:
        FileNotFoundError: there is no such directory.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"no directory of migrations: {directory}")
    names = [path.relative_to(directory).as_posix() for path in directory.rglob("*.sql")]
    return sorted(names, key=_order)


def _order(name: str) -> tuple[bool, int, str]:
    """Leading number first, then by text; files without a number come last."""
    found = _NUMBER.match(name)
    return (found is None, int(found[1]) if found else 0, name)


def _quoted(table: str) -> str:
    if not table or "\0" in table:
        raise ValueError(f"not a table's name: {table!r}")
    return '"' + table.replace('"', '""') + '"'
