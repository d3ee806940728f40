"""Values in `_cf_KV`: the statements, and the synchronous form of the API."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from durable.storage import SyncKv
from durable.storage_checks import Range, check_key, check_range, entries_of
from durable.values import decode
from durable.writes import Writes

_GET: Final = "SELECT value FROM _cf_KV WHERE key = ? /*edgekeep's own*/"
_PUT: Final = (
    "INSERT INTO _cf_KV VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value "
    "/*edgekeep's own*/"
)
_DELETE: Final = "DELETE FROM _cf_KV WHERE key = ? /*edgekeep's own*/"
# By (has an end, is reversed).
_LIST: Final = {
    (False, False): "SELECT key, value FROM _cf_KV WHERE key >= ? "
    "ORDER BY key LIMIT ? /*edgekeep's own*/",
    (False, True): "SELECT key, value FROM _cf_KV WHERE key >= ? "
    "ORDER BY key DESC LIMIT ? /*edgekeep's own*/",
    (True, False): "SELECT key, value FROM _cf_KV WHERE key >= ? AND key < ? "
    "ORDER BY key LIMIT ? /*edgekeep's own*/",
    (True, True): "SELECT key, value FROM _cf_KV WHERE key >= ? AND key < ? "
    "ORDER BY key DESC LIMIT ? /*edgekeep's own*/",
}
_LAST = chr(0x10FFFF)
_NO_LIMIT = 2**62


def read(writes: Writes, key: str) -> Any:
    """Return the value of *key*, or None."""
    connection = writes.reader()
    if connection is None:
        return None
    row = connection.execute(_GET, (key,)).fetchone()
    return None if row is None else decode(row[0])


def read_many(writes: Writes, keys: Iterable[str]) -> dict[str, Any]:
    """Return the values of those *keys* that exist, in the given order."""
    connection = writes.reader()
    found: dict[str, Any] = {}
    if connection is not None:
        for key in keys:
            row = connection.execute(_GET, (key,)).fetchone()
            if row is not None:
                found[key] = decode(row[0])
    return found


def write(writes: Writes, entries: Sequence[tuple[str, str | bytes]]) -> None:
    """Store checked entries."""
    if entries:
        connection = writes.writer()
        for entry in entries:
            connection.execute(_PUT, entry)


def remove(writes: Writes, keys: Iterable[str]) -> int:
    """Remove *keys* and return how many there were."""
    if writes.reader() is None:
        return 0
    connection = writes.writer()
    before = connection.total_changes()
    for key in keys:
        connection.execute(_DELETE, (key,))
    return connection.total_changes() - before


def scan(writes: Writes, wanted: Range) -> list[tuple[str, Any]]:
    """Return the entries in *wanted*."""
    connection = writes.reader()
    if connection is None:
        return []
    low, high = bounds(wanted)
    limit = min(wanted.limit or _NO_LIMIT, _NO_LIMIT)
    parameters = (low, limit) if high is None else (low, high, limit)
    rows = connection.execute(_LIST[high is not None, wanted.reverse], parameters)
    return [(key, decode(value)) for key, value in rows]


def bounds(wanted: Range) -> tuple[str, str | None]:
    """Return the lowest key of the range and the first key behind it (None: no end)."""
    low = wanted.start or ""
    if wanted.start_after is not None:
        low = wanted.start_after + "\0"  # nothing fits between a key and this
    high = wanted.end
    if wanted.prefix:
        low = max(low, wanted.prefix)
        behind = _behind_prefix(wanted.prefix)
        if behind is not None:
            high = behind if high is None else min(high, behind)
    return low, high


def _behind_prefix(prefix: str) -> str | None:
    # UTF-8 bytes sort as code points do, so the next code point ends the prefix.
    kept = prefix.rstrip(_LAST)
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:
        following = 0xE000  # surrogates have no UTF-8 form
    return kept[:-1] + chr(following)


class LocalKv(SyncKv):
    """`ctx.storage.kv` on the object's file."""

    __slots__ = ("_writes",)

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    def get(self, key: str) -> Any:
        return read(self._writes, check_key(key))

    def put(self, key: str, value: Any) -> None:
        write(self._writes, entries_of(check_key(key), value))

    def delete(self, key: str) -> bool:
        return remove(self._writes, [check_key(key)]) > 0

    def list(
        self,
        *,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[str, Any]]:
        return iter(
            scan(self._writes, check_range(start, start_after, end, prefix, reverse, limit))
        )
