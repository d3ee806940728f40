"""
The SQLite file of one object, and how many of them may be open at a time.

Hidden tables: `_cf_KV` holds the values (key TEXT in byte order; value JSON text or BLOB, see
durable/values.py), `_cf_METADATA` the object's name, `_cf_ALARM` at most one row. User SQL sees
none of them. A file exists from the first write on, so objects that only answer cost nothing.
"""

import contextlib
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final

from d1_schema.sqlite import dialect
from d1_schema.sqlite.authority import Authority, install_authorizer
from d1_schema.sqlite.engine import Connection, Error, connect, rows_of

MARK: Final = "/*edgekeep's own*/"
"""In every statement of ours; user SQL that contains it is refused (see `Authority`)."""

# WITHOUT ROWID keeps key and value in one tree: one page fewer to write per put.
# scheduled_ms is what set_alarm asked for; due_ms is later than that while a retry waits.
_SCHEMA = """
CREATE TABLE _cf_KV (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE _cf_METADATA (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE _cf_ALARM (one INTEGER PRIMARY KEY CHECK (one = 1), scheduled_ms INTEGER NOT NULL,
                        due_ms INTEGER NOT NULL, retries INTEGER NOT NULL);
"""

NAME_WRITTEN: Final = (
    "INSERT INTO _cf_METADATA VALUES ('name', ?) ON CONFLICT DO NOTHING /*edgekeep's own*/"
)
_READ_METADATA = "SELECT value FROM _cf_METADATA WHERE key = ? /*edgekeep's own*/"

# Key and value of 2 MiB share one row; SQLite counts its header too.
_ROW_BYTES = 2_097_152 + 4096

_CACHE_KIB = 512
"""Page cache of one open file at most; with 128 open files this bounds it to 64 MiB."""


_LOG_PAGES = 1000
"""SQLite's own default: the log is copied back into the file when it is this long."""

_FREE_PAGES = 16
"""Fewer unused pages are not worth the writes."""

_DAMAGED: Final = ".damaged-"

_MAX_CLOSING = 16
"""Files that may be on their way to being closed."""


class OpenFiles:
    """Keeps at most *limit* object files open; closes the ones used longest ago."""

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self._open: OrderedDict[ObjectFile, None] = OrderedDict()
        self._template: bytes | None = None
        self._closing: dict[Path, Future[None]] = {}
        self._closer: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return len(self._open)

    def touch(self, file: "ObjectFile") -> None:
        """Note that *file* is used now."""
        if file in self._open:
            self._open.move_to_end(file)

    def before_open(self, file: "ObjectFile") -> None:
        """Wait for an earlier connection to *file*: two would lock each other out."""
        closing = self._closing.pop(file.path, None)
        if closing is not None:
            closing.result()

    def opened(self, file: "ObjectFile") -> None:
        """Note a newly opened file and close others when there are too many."""
        self._open[file] = None
        if len(self._open) > self._limit:
            # Files inside a transaction stay; the limit may be passed for that long.
            idle = (f for f in self._open if not f.in_transaction and f is not file)
            for other in list(islice(idle, len(self._open) - self._limit)):
                other.close()

    def close(self, file: "ObjectFile", connection: Connection) -> None:
        """
        Close *connection* in the background.

        Closing checkpoints the log, with two fsyncs: thousands of objects that fall asleep
        together would stop the loop for seconds.
        """
        self._open.pop(file, None)
        if self._closer is None:
            self._closer = ThreadPoolExecutor(1, "durable-close")
        for path in [p for p, f in self._closing.items() if f.done()]:
            del self._closing[path]
        if len(self._closing) >= _MAX_CLOSING:
            # The oldest: descriptors are the scarce thing here.
            self._closing.pop(next(iter(self._closing))).result()
        self._closing[file.path] = self._closer.submit(_shrink_and_close, connection)

    def finish(self) -> None:
        """Wait until every file is closed; blocks."""
        if self._closer is not None:
            self._closer.shutdown()
            self._closer = None
        self._closing.clear()

    def template(self) -> bytes:
        """
        The bytes of an empty object file.

        Copying them costs a tenth of letting SQLite make tables and switch to WAL each time.
        """
        if self._template is None:
            path = self._directory / "template.tmp"
            _remove_file(path)
            connection = connect(path)
            try:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
                connection.execute(_SCHEMA)
            finally:
                connection.close()
            self._template = path.read_bytes()
            path.unlink()
        return self._template


class ObjectFile:
    """One object's database: opened when needed, closed when others need the room."""

    __slots__ = (
        "_connection",
        "_files",
        "_is_relaxed",
        "authority",
        "exists",
        "path",
        "unwritten_name",
    )

    def __init__(self, files: OpenFiles, path: Path, name: str | None) -> None:
        self._files = files
        self.unwritten_name = name
        """The object's name until the first write has put it into the file."""
        self._connection: Connection | None = None
        self.path = path
        self.exists = _is_whole(path)
        """False until the first write: reads of such an object need no file."""
        self._is_relaxed = False
        self.authority: Authority | None = None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection is not None and self._connection.in_transaction

    def touch(self) -> None:
        """Note that the object is in use."""
        if self._connection is not None:
            self._files.touch(self)

    def connection(self) -> Connection:
        """Return the connection, opening or making the file when needed."""
        if self._connection is None:
            self._files.before_open(self)
            if not self.exists:
                self._create()
            self._connection = self._connect()
            self._files.opened(self)
        return self._connection

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first: a kill in the middle must not leave half a file.
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(self._files.template())
        fresh.replace(self.path)
        self.exists = True

    def _connect(self) -> Connection:
        connection = connect(self.path)
        try:
            # One process owns an object: no shared-memory file, no lock per transaction.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
            # The first commit after a clean close starts a new log, and SQLite would wait
            # for the disk to have its header. Nothing old is in that log to be mistaken for
            # new, so this one wait is saved; see `committed`.
            self._is_relaxed = not _beside(self.path, "-wal").exists()
            if self._is_relaxed:
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()
            else:
                connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            dialect.limit(connection, longest_row=_ROW_BYTES)
            authority = install_authorizer(connection)
        except BaseException:
            connection.close()
            raise
        authority.is_lifted = True
        self.authority = authority
        return connection

    def committed(self) -> None:
        """A transaction was committed: from now on the log is synced before a checkpoint."""
        self.unwritten_name = None
        if self._is_relaxed and self._connection is not None:
            self._is_relaxed = False
            self._connection.execute("PRAGMA synchronous = NORMAL /*edgekeep's own*/")
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchone()

    def close(self) -> None:
        """Close the file, in the background; an open transaction is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._files.close(self, connection)

    def set_aside(self, name: str | None, moment: int) -> Path:
        """
        Close the file and give it another name, so that the object begins anew under its own.

        Returns where what can still be read of it lies, until the object itself is removed.
        """
        self.close()
        with contextlib.suppress(Error):
            self._files.before_open(self)
        kept = _beside(self.path, f"{_DAMAGED}{moment}")
        for ending in ("-wal", "-shm", "-journal", ""):
            with contextlib.suppress(FileNotFoundError):
                _beside(self.path, ending).rename(_beside(kept, ending))
        self.exists, self.unwritten_name = False, name
        return kept

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        self._files.before_open(self)
        _remove_file(self.path)
        # Not `glob`: it compiles and keeps a pattern for each name, and names are many.
        beginning = f"{self.path.name}{_DAMAGED}"
        for kept in self.path.parent.iterdir() if self.path.parent.exists() else ():
            if kept.name.startswith(beginning):
                kept.unlink(missing_ok=True)
        self.exists = False

    def size(self) -> int:
        """Bytes on disk, the write-ahead log included."""
        total = 0
        for path in (self.path, _beside(self.path, "-wal")):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def metadata(self, key: str) -> Any:
        """Return one entry of `_cf_METADATA`, or None."""
        if not self.exists:
            return None
        row = self.connection().execute(_READ_METADATA, (key,)).fetchone()
        return None if row is None else row[0]


def _shrink_and_close(connection: Connection) -> None:
    """Give back to the disk what the object no longer uses, then close."""
    with contextlib.suppress(Error):
        # An open transaction, or a disk that is full: the space is only late.
        [(free,)] = rows_of(connection, "PRAGMA freelist_count /*edgekeep's own*/")
        if free >= _FREE_PAGES:
            # It gives back a page a step, so all steps are asked for.
            connection.execute("PRAGMA incremental_vacuum /*edgekeep's own*/").fetchall()
    connection.close()


def _is_whole(path: Path) -> bool:
    """
    Whether the object has a file.

    A power cut soon after the file was made can leave it empty; nothing in it was promised
    to survive that, so the remains are removed.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    if size == 0:
        _remove_file(path)
    return size > 0


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _remove_file(path: Path) -> None:
    # The log first: a log without its database is nothing, a database without it is older.
    for ending in ("-wal", "-shm", "-journal", ""):
        _beside(path, ending).unlink(missing_ok=True)
