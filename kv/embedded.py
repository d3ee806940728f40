"""
KV on one SQLite file, in this process.

One row for each key. The value is the last column, so that a list never walks
through values. The table keeps its rowid: as WITHOUT ROWID, values of 1 KB made
the tree six times slower to fill (measured). How the file stays off the event
loop's back is told in `d1_schema.sqlite.file`.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from d1_schema.sqlite.dialect import open_connection
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

# Python's sqlite3 takes a detour of about 1 µs for each parameter that is bytes or
# None, and none for str and bytearray: hence the casts, and two forms of _PUT.
_KEY = "CAST(? AS BLOB)"

# The one place that says when an entry is gone: at its moment, not after it.
_GONE = "expires_at <= ?"
_LIVES = f"({_GONE}) IS NOT TRUE"

_GET = (
    f"SELECT CASE WHEN length(value) <= {LARGE_VALUE} THEN value END, metadata, length(value), "  # noqa: S608
    f"expires_at IS NULL FROM entries WHERE key = {_KEY} AND {_LIVES}"
)
_GET_LARGE = f"SELECT value, metadata FROM entries WHERE key = {_KEY} AND {_LIVES}"  # noqa: S608
_PUT = (
    f"INSERT INTO entries (key, value, expires_at, metadata) VALUES ({_KEY}, ?, ?, ?)"  # noqa: S608
    + REPLACING
)
_PUT_PLAIN = f"INSERT INTO entries (key, value) VALUES ({_KEY}, ?)" + REPLACING  # noqa: S608
_DELETE = f"DELETE FROM entries WHERE key = {_KEY}"  # noqa: S608
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
        self._cache = ReadCache(path)

    async def _read(self, key: str, cache_ttl: int | None) -> KVStored | None:
        stamp = self._cache.stamp()
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        values = (key, self._clock())
        row = await self._file.read(None, _fetch_one, _GET, values)
        if row is None:
            return None
        value, metadata, length, is_endless = row
        if value is None and length > LARGE_VALUE:
            row = await self._file.read_slowly(None, _fetch_one, _GET_LARGE, values)
            if row is None:
                return None
            value, metadata = row
        stored = KVStored(value, metadata)
        if is_endless:
            self._cache.keep(key, stored, stamp)
        return stored

    async def _read_many(self, keys: Sequence[str]) -> dict[str, KVStored]:
        now = self._clock()
        each = [(key, now) for key in keys]
        rows = await self._file.read("get many", _fetch_each, _GET, each)
        found: dict[str, KVStored] = {}
        for key, row in zip(keys, rows, strict=True):
            if row is None:
                continue
            stored = KVStored(row[0], row[1]) if row[0] is not None else await self._read(key, None)
            if stored is not None:
                found[key] = stored
        return found

    async def _write(self, row: KVRow) -> None:
        self._sweep_if_due()
        size = len(row.value)
        self._file.count_bytes(size)
        sql = _PUT_PLAIN
        values: tuple[Any, ...] = (row.key, bytearray(row.value))
        if row.expires_at is not None or row.metadata is not None:
            sql, values = _PUT, (*values, row.expires_at, row.metadata)
        is_heavy = size > HEAVY_BYTES
        await self._file.write(None, _execute, sql, values, is_heavy=is_heavy, is_atomic=True)

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
        await self._file.write(None, _execute, _DELETE, (key,), is_atomic=True)

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
        self._cache.close()  # in this order, see `read_cache`


def _fetch_one(handle: Handle, sql: str, values: tuple[Any, ...]) -> Any:
    # The key is unique, so SQLite knows after one row that the statement has ended.
    return handle.cursor.execute(sql, values).fetchone()


def _fetch_each(handle: Handle, sql: str, each: list[tuple[Any, ...]]) -> list[Any]:
    handle.begin_read()
    rows = [handle.cursor.execute(sql, values).fetchone() for values in each]
    handle.commit()
    return rows


def _fetch_all(handle: Handle, sql: str, values: tuple[Any, ...]) -> list[Any]:
    return handle.cursor.execute(sql, values).fetchall()


def _execute(handle: Handle, sql: str, values: Any) -> int:
    return handle.cursor.execute(sql, values).rowcount


def _prepare(connection: sqlite3.Connection, steps: int = LANE_STEPS) -> Handle:
    return Handle(connection, None, steps)


def _as_kv_error(error: sqlite3.Error, _: Handle, is_write: bool) -> KVError:
    return KVError("PUT" if is_write else "GET", 500, str(error))


async def open_namespace(path: Path, clock: Callable[[], float]) -> KVNamespace:
    """
    Open the namespace in the file *path*, creating it when it is missing.

    *clock* gives the seconds since the epoch.

    Raises:
        sqlite3.Error: the file cannot be opened, or is not a database.
    """
    connection = open_connection(path, autocheckpoint_pages=0, is_limited=False)
    connection.executescript(_SCHEMA)
    connection.execute("PRAGMA busy_timeout = 0").fetchone()  # the loop never waits for a lock
    return EmbeddedNamespace(path, _prepare(connection, INLINE_STEPS), clock)
