"""
Values that were read lately, kept in memory as long as nothing was committed.

KV is made for many reads and few writes, and a point query costs a third of a small answer, much
of it SQLite's locks. `SqliteFile.look` says whether anything was committed, by this process or
another, for half a query's price and once a turn of the loop.
"""

from typing import Final, Protocol

from kv.values import KVStored

CACHE_BYTES: Final = 8 * 1024 * 1024
LARGEST_VALUE: Final = 64 * 1024
"""Larger values are not kept: a few of them would drive out all others."""


class Versioned(Protocol):
    """What the cache needs of a `SqliteFile`."""

    def look(self) -> int | None:
        """Return what names the newest commit of all; None where that cannot be said at once."""

    def version(self) -> int:
        """Return what names the newest commit that the inline connection knows."""


class ReadCache:
    """Entries without an end, as the inline connection of *file* read them."""

    def __init__(self, file: Versioned) -> None:
        self._file = file
        self._version: int | None = None
        self._entries: dict[str, KVStored] = {}
        self._size = 0

    def get(self, key: str) -> KVStored | None:
        """Return the kept entry of *key*; None where the file has to be asked."""
        if key not in self._entries:
            return None
        self._forget_older_than(self._file.look())
        return self._entries.get(key)

    def keep(self, key: str, stored: KVStored) -> None:
        """Keep what the inline connection has read just now."""
        self._forget_older_than(self._file.version())
        size = len(stored.value)
        if size > LARGEST_VALUE or key in self._entries:
            return
        while self._size + size > CACHE_BYTES:
            oldest = next(iter(self._entries))
            self._size -= len(self._entries.pop(oldest).value)
        self._entries[key] = stored
        self._size += size

    def _forget_older_than(self, version: int | None) -> None:
        if version != self._version:
            self._version = version
            self._entries.clear()
            self._size = 0
