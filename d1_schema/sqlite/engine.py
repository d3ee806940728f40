"""
Which SQLite runs here, and how a file of ours is opened.

It is the one inside the package `apsw`: as new as D1's on every Python, and the same on each
machine (docs/decisions/0014). Every file of the state is opened through `connect`, in the product,
in scripts and in tests alike: a second SQLite library in one process would not know of the first
one's locks, and on POSIX closing its file drops them (sqlite.org/howtocorrupt.html, 2.2).
"""

import json
from collections.abc import Generator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apsw

Connection = apsw.Connection
Cursor = apsw.Cursor
Error = apsw.Error
"""Whatever SQLite refuses; one class below it for each result code."""

VERSION: Final = apsw.sqlite_lib_version()
OLDEST: Final = (3, 53)
"""What D1 ran when it was measured; an older one answers NULL, or fails, where D1 works."""

_STATEMENTS_KEPT: Final = 256

if tuple(map(int, VERSION.split(".")[:2])) < OLDEST:
    raise ImportError(
        f"The package apsw has SQLite {VERSION} here, older than D1's: install the one that "
        "requirements.lock names (its wheels bring their own), not one built with the system's."
    )


def connect(path: Path | str, *, wait_seconds: float = 5.0, reads_only: bool = False) -> Connection:
    """
    Open *path*; what is deleted in it is gone from the disk, free pages included.

    Deleted bytes are overwritten, and the log is cut off when it begins anew: until then (some
    16 MB of writes, or the end of the process) it holds what was written lately.

    Args:
        wait_seconds: how long a statement waits for a lock of another connection.
        reads_only: the file must be there, and nothing is written.

    Raises:
        Error: the file cannot be opened.
    """
    writing = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    flags = apsw.SQLITE_OPEN_READONLY if reads_only else writing
    connection = Connection(str(path), flags=flags, statementcachesize=_STATEMENTS_KEPT)
    connection.set_busy_timeout(int(wait_seconds * 1000))
    connection.execute("PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 0").fetchall()
    return connection


def is_damage(error: BaseException) -> bool:
    """Whether *error* says that the file is not what SQLite wrote: no second try helps."""
    return isinstance(error, apsw.CorruptError | apsw.NotADBError)


def rows_of(connection: Connection, sql: str, values: Sequence[Any] = ()) -> list[Any]:
    """Run *sql* and return every row."""
    return connection.execute(sql, values).fetchall()


def query(
    connection: Connection, sql: str, values: Sequence[Any] = ()
) -> tuple[list[str], Generator[Any]]:
    """
    Run one statement; return the names of its columns, also when there are no rows, and its rows.

    Bytes of a text that are not UTF-8 arrive as U+FFFD, as at Cloudflare (not those that a write
    returns: it is refused). The statement ends with the last row, or when the generator is closed.
    """
    cursor = connection.cursor()
    names: list[str] = []

    def note(_cursor: Cursor, _sql: str, _values: object) -> bool:
        names.extend(name for name, _ in cursor.get_description())
        return True

    cursor.exec_trace = note
    cursor.execute(sql, values)
    # Without a row SQLite has forgotten the statement already, so it was asked before. With one
    # it is asked again, in the other form (an answer is kept): by then it may have read a schema
    # that another process changed.
    with suppress(apsw.ExecutionCompleteError):
        names = [column[0] for column in cursor.description]
    return names, _rows(cursor, sql, values, names)


def _rows(cursor: Cursor, sql: str, values: Sequence[Any], names: list[str]) -> Generator[Any]:
    seen = 0
    try:
        for row in cursor:
            seen += 1
            yield row
    except UnicodeDecodeError:
        if not cursor.is_readonly:
            raise apsw.SQLError("a write cannot return text that is not UTF-8") from None
        yield from islice(_read_as_bytes(cursor.connection, sql, values, len(names)), seen, None)
    finally:
        # A statement in the middle of its rows would hold back writes and checkpoints.
        cursor.close(force=True)


def _read_as_bytes(
    connection: Connection, sql: str, values: Sequence[Any], width: int
) -> Generator[Any]:
    """
    Run a reading statement of *width* columns whose rows hold text that is not UTF-8.

    apsw reads text strictly and has no setting for it, so it is asked for as the bytes that it is.
    """
    names = [f"c{number}" for number in range(width)]
    kinds = ", ".join(f"typeof({name})" for name in names)
    columns = ", ".join(f"iif(typeof({n}) = 'text', CAST({n} AS BLOB), {n})" for n in names)
    rows = connection.execute(
        f"WITH edgekeep ({', '.join(names)}) AS MATERIALIZED (\n{sql.removesuffix(';')}\n) "  # noqa: S608
        f"SELECT json_array({kinds}), {columns} FROM edgekeep",
        values,
    )
    for kinds_of_row, *row in rows:
        yield tuple(
            value.decode("utf-8", "replace") if kind == "text" else value
            for kind, value in zip(json.loads(kinds_of_row), row, strict=True)
        )
