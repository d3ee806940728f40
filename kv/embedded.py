"""
KV on one SQLite file, in this process.

One row for each key. The value is the last column, so that a list never walks
through values. The table keeps its rowid: as WITHOUT ROWID, values of 1 KB made
the tree six times slower to fill (measured). How the file stays off the event
loop's back is told in `d1_schema.sqlite.file`.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from d1_schema.sqlite.dialect import open_connection
from d1_schema.sqlite.engine import Connection, Error
from d1_schema.sqlite.file import SqliteFile
from d1_schema.sqlite.handle import INLINE_STEPS, LANE_STEPS, Handle
from d1_schema.sqlite.lane import open_lane
from kv.bulk import HEAVY_BYTES, PUT_MANY, REPLACING, packed, parts
from kv.checks import KVError, decode_cursor, encode_cursor
from kv.contract import KVKey, KVNamespace, KVPage, KVRow, KVStored
from kv.read_cache import ReadCache

LARGE_VALUE: Final = 256 * 1024
"""Bytes from which a value is read and written in a lane."""
LONG_PAGE: Final = 200
"""Lists of more keys are remembered apart, when the loop finds them slow."""
SWEEP_SECONDS: Final = 60
SWEEP_ROWS: Final = 200
"""So often, and so many at a time, ended entries are removed."""

# Keys are BLOBs: their order is byte order, whatever the collation.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,    -- UTF-8
    expires_at INTEGER,          -- seconds since the epoch; NULL never ends
    metadata TEXT,               -- JSON
    value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_end ON entries (expires_at) WHERE expires_at IS NOT NULL;
"""

# The one place that says when an entry is gone: at its moment, not after it.
_GONE = "expires_at <= ?"
_LIVES = f"({_GONE}) IS NOT TRUE"

_GET = (
    f"SELECT CASE WHEN length(value) <= {LARGE_VALUE} THEN value END, metadata, "  # noqa: S608
    f"expires_at FROM entries WHERE key = ? AND {_LIVES}"
)
_GET_LARGE = f"SELECT value, metadata FROM entries WHERE key = ? AND {_LIVES}"  # noqa: S608
_PUT = "INSERT INTO entries (key, value, expires_at, metadata) VALUES (?, ?, ?, ?)" + REPLACING  # noqa: S608
_DELETE = "DELETE FROM entries WHERE key = ?"
_PAGE = (
    "SELECT key, expires_at, metadata FROM entries "  # noqa: S608
    f"WHERE key {{after}} ? AND key < ? AND {_LIVES} ORDER BY key LIMIT ?"
)
_FIRST_PAGE = _PAGE.format(after=">=")
_NEXT_PAGE = _PAGE.format(after=">")
_SWEEP = (
    "DELETE FROM entries WHERE id IN "  # noqa: S608
    f"(SELECT id FROM entries WHERE {_GONE} LIMIT {SWEEP_ROWS})"
)


class EmbeddedNamespace(KVNamespace):
    """A KV namespace in a file of this machine."""

    def __init__(self, path: Path, inline: Handle, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        opener = partial(open_lane, prepare=_prepare, is_limited=False)
        self._file = SqliteFile(path, inline, opener, _as_kv_error)
        self._swept_at = 0.0
        self._cache = ReadCache(self._file)

    async def _read(self, key: str, cache_ttl: int | None) -> KVStored | None:
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        now = self._clock()
        row = await self._file.read(None, self._fetch, key, now)
        if row is not None and row[0] is None:
            row = await self._file.read_slowly(None, _fetch_one, _GET_LARGE, (key.encode(), now))
        return None if row is None else KVStored(*row)

    async def _read_many(self, keys: Sequence[str]) -> dict[str, KVStored]:
        rows = await self._file.read("get many", self._fetch_each, keys, self._clock())
        found: dict[str, KVStored] = {}
        for key, row in zip(keys, rows, strict=True):
            if row is None:
                continue
            stored = KVStored(*row) if row[0] is not None else await self._read(key, None)
            if stored is not None:
                found[key] = stored
        return found

    def _fetch(self, handle: Handle, key: str, now: float) -> Any:
        """Read (value, metadata); a large value is None, and has to be read in a lane."""
        row = _fetch_one(handle, _GET, (key.encode(), now))
        if row is None:
            return None
        value, metadata, expires_at = row
        # What a lane has read may be older than what the loop knows of.
        if value is not None and expires_at is None and handle is self._file.inline:
            self._cache.keep(key, KVStored(value, metadata))
        return value, metadata

    def _fetch_each(self, handle: Handle, keys: Sequence[str], now: float) -> list[Any]:
        handle.begin_read()
        rows = [self._fetch(handle, key, now) for key in keys]
        handle.commit()
        return rows

    async def _write(self, row: KVRow) -> None:
        self._sweep_if_due()
        size = len(row.value)
        self._file.count_bytes(size)
        values = (row.key.encode(), row.value, row.expires_at, row.metadata)
        is_heavy = size > HEAVY_BYTES
        await self._file.write(None, _execute, _PUT, values, is_heavy=is_heavy, is_atomic=True)

    async def _write_many(self, rows: Sequence[KVRow]) -> None:
        self._sweep_if_due()
        writes = []
        for part in parts(rows):
            named, size = packed(part)
            self._file.count_bytes(size)
            writes.append(
                self._file.write(
                    None, _execute, PUT_MANY, named, is_heavy=size > HEAVY_BYTES, is_atomic=True
                )
            )
        await asyncio.gather(*writes)

    async def _remove(self, key: str) -> None:
        await self._file.write(None, _execute, _DELETE, (key.encode(),), is_atomic=True)

    async def _scan(self, prefix: str, cursor: str | None, limit: int) -> KVPage:
        self._sweep_if_due()
        start = prefix.encode()
        # UTF-8 has no byte 255, so there is always a next prefix, and 255 ends all keys.
        end = start[:-1] + bytes([start[-1] + 1]) if start else b"\xff"
        sql = _FIRST_PAGE
        if cursor is not None:
            after = decode_cursor(cursor)
            if after is None or after >= end:
                return KVPage([], list_complete=True, cursor=None)
            if after >= start:
                sql, start = _NEXT_PAGE, after
        # One more than asked for tells whether this page is the last.
        values = (start, end, self._clock(), limit + 1)
        memo = "list" if limit <= LONG_PAGE else "long list"
        rows = await self._file.read(memo, _fetch_all, sql, values)
        keys = [
            KVKey(key.decode(), expires_at, None if text is None else json.loads(text))
            for key, expires_at, text in rows[:limit]
        ]
        is_last = len(rows) <= limit
        return KVPage(keys, is_last, None if is_last else encode_cursor(keys[-1].name))

    def _sweep_if_due(self) -> None:
        """Remove ended entries now and then; reads never show them, swept or not."""
        now = self._clock()
        if 0 <= now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        sweep = self._file.write(None, _execute, _SWEEP, (now,), is_atomic=True)
        # Housekeeping may fail (a full disk, a lock); the next one makes up for it.
        sweep.add_done_callback(self._after_sweep)

    def _after_sweep(self, sweep: "asyncio.Future[int]") -> None:
        if not sweep.cancelled() and sweep.exception() is None and sweep.result() == SWEEP_ROWS:
            self._swept_at = 0.0  # there may be more: go on with the next call

    async def close(self) -> None:
        """See the contract."""
        await self._file.close()


def _fetch_one(handle: Handle, sql: str, values: tuple[Any, ...]) -> Any:
    # All of it, though the key is unique: SQLite ends a statement when asked for the next row.
    rows = handle.cursor.execute(sql, values).fetchall()
    return rows[0] if rows else None


def _fetch_all(handle: Handle, sql: str, values: tuple[Any, ...]) -> list[Any]:
    return handle.cursor.execute(sql, values).fetchall()


def _execute(handle: Handle, sql: str, values: Any) -> int:
    handle.cursor.execute(sql, values)
    return handle.connection.changes()


def _prepare(connection: Connection, steps: int = LANE_STEPS) -> Handle:
    return Handle(connection, None, steps)


def _as_kv_error(error: Error, _: Handle, is_write: bool) -> KVError:
    return KVError("PUT" if is_write else "GET", 500, str(error))


async def open_namespace(path: Path, clock: Callable[[], float]) -> KVNamespace:
    """
    Open the namespace in the file *path*, creating it when it is missing.

    *clock* gives the seconds since the epoch.

    Raises:
        Error: the file cannot be opened, or is not a database.
    """
    connection = open_connection(path, autocheckpoint_pages=0, is_limited=False)
    connection.execute(_SCHEMA)
    connection.set_busy_timeout(0)  # the loop never waits for a lock
    return EmbeddedNamespace(path, _prepare(connection, INLINE_STEPS), clock)
