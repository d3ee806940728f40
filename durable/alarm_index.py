"""
Which objects have an alarm, and when: one small SQLite file for all of them.

The truth about an alarm is in the object's own file, in one transaction with its other
writes. This index only says where to look, so it must never be later than the truth: a sooner
time is entered before the object commits, a later one (or none) after. A kill in between
leaves an entry that is too early; ringing reads the truth and corrects the entry.
"""

import json
from pathlib import Path

from d1_schema.sqlite.engine import connect, rows_of


class AlarmIndex:
    """The file `alarms.sqlite` of an actors' directory."""

    def __init__(self, path: Path) -> None:
        connection = connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS alarms (class TEXT NOT NULL, id TEXT NOT NULL, "
                "due_ms INTEGER NOT NULL, PRIMARY KEY (class, id)) WITHOUT ROWID"
            )
            connection.execute("CREATE INDEX IF NOT EXISTS alarms_by_due ON alarms (due_ms)")
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def due(self, class_name: str, id: str) -> int | None:
        """Return the entry of one object, in epoch milliseconds."""
        row = self._connection.execute(
            "SELECT due_ms FROM alarms WHERE class = ? AND id = ?", (class_name, id)
        ).fetchone()
        return None if row is None else int(row[0])

    def before_commit(self, class_name: str, id: str, due_ms: int | None) -> None:
        """Enter *due_ms* when it is sooner than the entry."""
        if due_ms is not None:
            self._connection.execute(
                "INSERT INTO alarms VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
                "SET due_ms = min(due_ms, excluded.due_ms)",
                (class_name, id, due_ms),
            )

    def after_commit(self, class_name: str, id: str, due_ms: int | None) -> None:
        """Enter *due_ms* as it is now."""
        if due_ms is None:
            self._connection.execute(
                "DELETE FROM alarms WHERE class = ? AND id = ?", (class_name, id)
            )
        else:
            self._connection.execute(
                "INSERT INTO alarms VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
                "SET due_ms = excluded.due_ms WHERE due_ms <> excluded.due_ms",
                (class_name, id, due_ms),
            )

    def overdue(self, classes: list[str], now_ms: int, limit: int) -> list[tuple[str, str]]:
        """
        Return (class, id) of at most *limit* entries that are due, the oldest first.

        Entries of other *classes* stay: their code may be back at the next start.
        """
        return rows_of(
            self._connection,
            "SELECT class, id FROM alarms WHERE due_ms <= ? "
            "AND class IN (SELECT value FROM json_each(?)) ORDER BY due_ms LIMIT ?",
            (now_ms, json.dumps(classes), limit),
        )

    def next_after(self, now_ms: int) -> int | None:
        """Return the time of the first entry that is not due yet."""
        sql = "SELECT min(due_ms) FROM alarms WHERE due_ms > ?"
        [(due_ms,)] = rows_of(self._connection, sql, (now_ms,))
        return None if due_ms is None else int(due_ms)
