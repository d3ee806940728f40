"""`delete_all`: values, user tables and the alarm of one object, inside the open transaction."""

from typing import Final

from d1_schema.sqlite.engine import Connection, rows_of
from durable.writes import Writes

# Triggers first: they would run during the deletes. Rows before tables: with the checks
# deferred, foreign keys between the tables come out even once all rows are gone. Virtual
# tables bring their shadow tables down themselves.
_OBJECTS: Final = (
    "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') "
    "AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\' /*edgekeep's own*/"
)
_TABLES: Final = (
    "SELECT type, name FROM pragma_table_list WHERE schema = 'main' "
    "AND type IN ('table', 'virtual') AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\' "
    "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' /*edgekeep's own*/"
)


def empty(writes: Writes) -> None:
    """Remove everything an object stored; its name stays."""
    connection = writes.writer()
    connection.execute("PRAGMA defer_foreign_keys = ON /*edgekeep's own*/")
    for kind, name in rows_of(connection, _OBJECTS):
        _run(connection, f"DROP {kind.upper()} IF EXISTS {_quoted(name)}")
    tables = rows_of(connection, _TABLES)
    for kind, name in tables:
        if kind == "virtual":
            _run(connection, f"DROP TABLE {_quoted(name)}")
    plain = [name for kind, name in tables if kind == "table"]
    for name in plain:
        _run(connection, f"DELETE FROM {_quoted(name)}")  # noqa: S608  # quoted, from the schema
    for name in plain:
        _run(connection, f"DROP TABLE {_quoted(name)}")
    _run(connection, "DELETE FROM _cf_KV")
    writes.set_alarm(None)
    writes.emptied = True


def _run(connection: Connection, statement: str) -> None:
    connection.execute(statement + " /*edgekeep's own*/")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
