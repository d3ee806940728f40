"""
The open transaction of one instance: what it wrote and has not committed yet.

The first write opens a transaction, the next boundary (see durable/instance.py) commits it, so
writes without an await between them are kept together or not at all. Savepoints inside it are
the transactions of the storage API.
"""

from collections.abc import Callable
from typing import Final

from d1_schema.sqlite.engine import Connection, rows_of
from durable.errors import ObjectResetError
from durable.object_file import NAME_WRITTEN, ObjectFile

_BEGIN: Final = "BEGIN IMMEDIATE /*edgekeep's own*/"
_COMMIT: Final = "COMMIT /*edgekeep's own*/"
_ROLLBACK: Final = "ROLLBACK /*edgekeep's own*/"
_READ_ALARM: Final = "SELECT scheduled_ms, due_ms, retries FROM _cf_ALARM /*edgekeep's own*/"
_DROP_ALARM: Final = "DELETE FROM _cf_ALARM /*edgekeep's own*/"
_WRITE_ALARM: Final = (
    "INSERT INTO _cf_ALARM VALUES (1, ?, ?, ?) ON CONFLICT DO UPDATE SET scheduled_ms = "
    "excluded.scheduled_ms, due_ms = excluded.due_ms, retries = excluded.retries "
    "/*edgekeep's own*/"
)

LOST: Final = "The open transaction was ended by a statement; the object was reset."

EVICTED: Final = ObjectResetError("The instance left memory.")
"""Closes the storage of an instance that was evicted; the object itself is well."""

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

AlarmRow = tuple[int, int, int]
"""scheduled_ms, due_ms, retries."""


def _nobody() -> None:
    """Stand where an instance was."""


class Writes:
    """Access to one object's database on behalf of one instance."""

    __slots__ = ("_on_dirty", "alarm_changed", "broken", "depth", "dirty", "emptied", "file")

    def __init__(self, file: ObjectFile, on_dirty: Callable[[], None]) -> None:
        self.file = file
        self._on_dirty = on_dirty
        self.dirty = False
        """True from the first write until the commit."""
        self.depth = 0
        """Open savepoints: nothing is committed while there are any."""
        self.alarm_changed = False
        """The alarm was touched since the last commit: the index has to hear of it."""
        self.emptied = False
        """delete_all ran and nothing was written since: the file may go with the instance."""
        self.broken: BaseException | None = None
        """Why the instance was reset; its storage is closed to it."""

    def close(self, reason: BaseException) -> None:
        """Close the storage to its instance, and let go of it."""
        self.broken = reason
        self._on_dirty = _nobody

    def reader(self) -> Connection | None:
        """Return the connection to read from; None while there is no file yet."""
        if self.broken is not None:
            raise self.closed_error()
        return self.file.connection() if self.file.exists else None

    def writer(self) -> Connection:
        """Return the connection inside the open transaction."""
        if self.broken is not None:
            raise self.closed_error()
        connection = self.file.connection()
        if not self.dirty:
            connection.execute(_BEGIN)
            if self.file.unwritten_name is not None:
                connection.execute(NAME_WRITTEN, (self.file.unwritten_name,))
            self.dirty = True
            self._on_dirty()
        elif not connection.in_transaction:
            raise ObjectResetError(LOST)
        self.emptied = False
        return connection

    def closed_error(self) -> ObjectResetError:
        """The error for a storage call of an instance that was reset."""
        return ObjectResetError(f"This instance was reset: {self.broken}")

    def commit(self) -> None:
        """
        Commit the open transaction.

        Raises:
            Error: the write failed; the caller resets the object.
            ObjectResetError: the transaction is gone (for example by INSERT OR ROLLBACK).
        """
        connection = self.file.connection()
        if not connection.in_transaction:
            raise ObjectResetError(LOST)
        connection.execute(_COMMIT)
        self.file.committed()
        self.dirty = False
        self.alarm_changed = False

    def undo(self) -> None:
        """Undo everything since the last commit."""
        if self.file.in_transaction:
            self.file.connection().execute(_ROLLBACK)
        self.dirty = False
        self.alarm_changed = False
        self.depth = 0

    # -- savepoints ------------------------------------------------------------------------

    def begin(self) -> int:
        """Open a savepoint and return its number."""
        connection = self.writer()
        self.depth += 1
        connection.execute(f"SAVEPOINT edgekeep_{self.depth} /*edgekeep's own*/")
        return self.depth

    def keep(self, number: int) -> None:
        """Close savepoint *number*, keeping its writes."""
        self.writer().execute(f"RELEASE edgekeep_{number} /*edgekeep's own*/")
        self.depth = number - 1

    def drop(self, number: int) -> None:
        """Undo and close savepoint *number*."""
        self.rewind(number)
        self.keep(number)

    def rewind(self, number: int) -> None:
        """Undo savepoint *number* and leave it open."""
        self.writer().execute(f"ROLLBACK TO edgekeep_{number} /*edgekeep's own*/")

    # -- the alarm -------------------------------------------------------------------------

    def alarm(self) -> AlarmRow | None:
        """Return the object's alarm as it stands in its file."""
        connection = self.reader()
        row: AlarmRow | None = None
        if connection is not None:
            row = connection.execute(_READ_ALARM).fetchone()
        return row

    def set_alarm(self, row: AlarmRow | None) -> None:
        """Replace or remove the alarm."""
        if row is None and not self.file.exists:
            return
        connection = self.writer()
        if row is None:
            connection.execute(_DROP_ALARM)
        else:
            connection.execute(_WRITE_ALARM, row)
        self.alarm_changed = True

    # -- everything ------------------------------------------------------------------------

    def empty(self) -> None:
        """Remove everything the object stored (`delete_all`); its name stays."""
        connection = self.writer()
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
        self.set_alarm(None)
        self.emptied = True


def _run(connection: Connection, statement: str) -> None:
    connection.execute(statement + " /*edgekeep's own*/")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
