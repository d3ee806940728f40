"""
The rows of an embedded bucket: what objects, uploads and parts there are.

One SQLite file in WAL mode, synchronous NORMAL: a commit that returned survives the
death of the process, and a power cut once `sync` ran (docs/decisions/0001). Keys are
kept as UTF-8 blobs, so that SQLite's order is R2's. Every thread has its own connection;
writers of this process queue at a lock, those of others at SQLite's. Everything here
blocks: call it from the bucket's threads.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from d1_schema.sqlite.engine import Connection, connect, rows_of
from r2.checksums import R2Checksums
from r2.contract import ObjectMetadata
from r2.headers import from_milliseconds
from r2.listing import ListQuery, Page, fill_page
from r2.multipart import StoredPart
from r2.objects import R2HttpMetadata, R2Object
from r2.ranges import R2Range

# Seconds to wait for another process that writes.
_BUSY_SECONDS = 30.0
OPEN: Final = 0
COMPLETED: Final = 1
ABORTED: Final = 2

# uploaded and created are milliseconds since the epoch; version names the body's file;
# checksums, http_metadata and custom_metadata are JSON.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  key BLOB PRIMARY KEY, version TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
  etag TEXT NOT NULL, uploaded INTEGER NOT NULL, checksums TEXT NOT NULL,
  http_metadata TEXT NOT NULL, custom_metadata TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
  upload_id TEXT PRIMARY KEY, key BLOB NOT NULL, state INTEGER NOT NULL,
  created INTEGER NOT NULL, http_metadata TEXT NOT NULL, custom_metadata TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
  upload_id TEXT NOT NULL, number INTEGER NOT NULL, version TEXT NOT NULL UNIQUE,
  size INTEGER NOT NULL, etag TEXT NOT NULL, PRIMARY KEY (upload_id, number)
) WITHOUT ROWID;
"""
_COLUMNS = "key, version, size, etag, uploaded, checksums, http_metadata, custom_metadata"
Row = tuple[bytes, str, int, str, int, str, str, str]


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload's state (OPEN, COMPLETED, ABORTED) and the metadata of its object."""

    state: int
    http_metadata: str
    custom_metadata: str


class Ledger:
    """The SQLite file of a bucket."""

    def __init__(self, path: Path) -> None:
        """Name the file; connections to it are made as threads need them."""
        self._path = path
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._writing = threading.Lock()

    def create(self) -> None:
        """Create the tables where they are missing. One process at a time."""
        connection = self._connection()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(_SCHEMA)

    def close(self) -> None:
        """Close every thread's connection, once no thread uses one."""
        while self._connections:
            self._connections.pop().close()

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self._path, wait_seconds=_BUSY_SECONDS)
            self._connections.append(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises."""
        connection = self._connection()
        with self._writing:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction: everything in the block is of one moment."""
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            _roll_back(connection)

    def sync(self) -> None:
        """Make every commit so far survive a power cut, those of other processes too."""
        connection = self._connection()
        with self._writing:
            connection.execute("PRAGMA synchronous = FULL")
            try:
                # Nobody reads the value: any commit syncs the log, with all before it.
                connection.execute("PRAGMA user_version = 1")
            finally:
                connection.execute("PRAGMA synchronous = NORMAL")

    def empty_log(self) -> None:
        """Cut the log off, unless somebody reads: what was deleted stays readable in it."""
        connection = self._connection()
        with self._writing:
            connection.set_busy_timeout(0)
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.set_busy_timeout(int(_BUSY_SECONDS * 1000))

    def find(self, key: bytes) -> Row | None:
        """Return the row of *key*."""
        return find(self._connection(), key)

    def page(self, query: ListQuery) -> Page[R2Object]:
        """Return a page of the list."""
        columns = _COLUMNS
        if not query.http_metadata:
            columns = columns.replace("http_metadata", "'{}'")
        if not query.custom_metadata:
            columns = columns.replace("custom_metadata", "'{}'")
        end = query.end
        bound = "" if end is None else "AND key < ?2 "
        sql = f"SELECT {columns} FROM objects WHERE key >= ?1 {bound}ORDER BY key LIMIT ?3"  # noqa: S608 -- constants only
        with self.read() as connection:

            def scan(lowest: bytes, limit: int) -> Sequence[tuple[bytes, R2Object]]:
                rows = connection.execute(sql, (lowest, end, limit))
                return [(row[0], to_object(row)) for row in rows]

            return fill_page(query, scan)

    def known_versions(self, versions: Iterable[str]) -> set[str]:
        """Return those of *versions* that a row names."""
        connection = self._connection()
        sql = (
            "SELECT value FROM json_each(?1) WHERE EXISTS "
            "(SELECT 1 FROM objects WHERE version = value) OR EXISTS "
            "(SELECT 1 FROM parts WHERE version = value)"
        )
        return {row[0] for row in connection.execute(sql, (json.dumps(list(versions)),))}


def _roll_back(connection: Connection) -> None:
    # SQLite may have done so itself (disk full, I/O error).
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def find(connection: Connection, key: bytes) -> Row | None:
    """Return the row of *key*."""
    sql = f"SELECT {_COLUMNS} FROM objects WHERE key = ?"  # noqa: S608 -- constants only
    row: Row | None = connection.execute(sql, (key,)).fetchone()
    return row


def replace(connection: Connection, row: Row) -> None:
    """Insert *row*, in place of the one of the same key."""
    sql = f"REPLACE INTO objects ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)"  # noqa: S608 -- constants only
    connection.execute(sql, row)


def delete(connection: Connection, keys: Iterable[bytes]) -> list[str]:
    """Delete the rows of *keys* and return their versions."""
    sql = "DELETE FROM objects WHERE key = ? RETURNING version"
    return [row[0] for key in keys for row in rows_of(connection, sql, (key,))]


def find_upload(connection: Connection, key: bytes, upload_id: str) -> Upload | None:
    """Return the upload of that id, when it is one of *key*."""
    row = connection.execute(
        "SELECT state, http_metadata, custom_metadata FROM uploads WHERE upload_id = ? AND key = ?",
        (upload_id, key),
    ).fetchone()
    return None if row is None else Upload(*row)


def end_upload(connection: Connection, upload_id: str, state: int) -> list[str]:
    """Set the final *state*, delete the parts and return their versions."""
    connection.execute("UPDATE uploads SET state = ? WHERE upload_id = ?", (state, upload_id))
    sql = "DELETE FROM parts WHERE upload_id = ? RETURNING version"
    return [version for (version,) in rows_of(connection, sql, (upload_id,))]


def find_parts(connection: Connection, upload_id: str) -> dict[int, StoredPart]:
    """Return the parts of an upload by number."""
    rows = connection.execute(
        "SELECT number, etag, etag, size, version FROM parts WHERE upload_id = ?", (upload_id,)
    )
    return {row[0]: StoredPart(*row) for row in rows}


def replace_part(connection: Connection, upload_id: str, part: StoredPart) -> str | None:
    """Insert *part* and return the version of the one it replaces."""
    where = (upload_id, part.number)
    old = connection.execute(
        "SELECT version FROM parts WHERE upload_id = ? AND number = ?", where
    ).fetchone()
    connection.execute(
        "REPLACE INTO parts (upload_id, number, version, size, etag) VALUES (?,?,?,?,?)",
        (*where, part.version, part.size, part.etag),
    )
    return None if old is None else str(old[0])


def insert_upload(
    connection: Connection, upload_id: str, key: bytes, created: int, meta: ObjectMetadata
) -> None:
    """Insert an open upload."""
    connection.execute(
        "INSERT INTO uploads (upload_id, key, state, created, http_metadata, custom_metadata) "
        "VALUES (?,?,?,?,?,?)",
        (upload_id, key, OPEN, created, *metadata_columns(meta)),
    )


def drop_uploads(connection: Connection, created_before: int) -> tuple[int, list[str]]:
    """
    Delete uploads begun before a moment (ms), however they ended.

    Returns how many were still open, and the versions of their parts.
    """
    versions = rows_of(
        connection,
        "DELETE FROM parts WHERE upload_id IN (SELECT upload_id FROM uploads WHERE created < ?) "
        "RETURNING version",
        (created_before,),
    )
    states = rows_of(
        connection, "DELETE FROM uploads WHERE created < ? RETURNING state", (created_before,)
    )
    return sum(state == OPEN for (state,) in states), [version for (version,) in versions]


def metadata_columns(metadata: ObjectMetadata) -> tuple[str, str]:
    """Return the two columns of metadata."""
    return dump(metadata.http.to_json()), dump(metadata.custom)


def to_object(row: Row, span: R2Range | None = None) -> R2Object:
    """Return *row* as an object whose answer covers *span*."""
    return R2Object(**object_fields(row), range=span)


def object_fields(row: Row) -> dict[str, Any]:
    """Return the fields of an R2Object but its range."""
    key, version, size, etag, uploaded, checksums, http, custom = row
    return {
        "key": key.decode(),
        "version": version,
        "size": size,
        "etag": etag,
        "uploaded": from_milliseconds(uploaded),
        "checksums": R2Checksums.from_json(json.loads(checksums)),
        "http_metadata": R2HttpMetadata.from_json(json.loads(http)),
        "custom_metadata": json.loads(custom),
    }


def dump(value: Any) -> str:
    """Return *value* as compact JSON, in ASCII (a lone surrogate survives)."""
    return json.dumps(value, separators=(",", ":"))
