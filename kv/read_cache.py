"""
Values that were read lately, kept in memory as long as nothing was committed.

KV is made for many reads and few writes, and a point query costs as much as the rest of a small
answer. What says "nothing was committed" is the header of SQLite's WAL index (the file `-shm`,
sqlite.org/walformat.html §2.1): its first 48 bytes change with each commit of any process, and
looking at them is a look at shared memory. So a hit is as fresh as a query would be.
"""

import mmap
from pathlib import Path
from typing import Final

from kv.contract import KVStored

HEADER_BYTES: Final = 48
CACHE_BYTES: Final = 8 * 1024 * 1024
LARGEST_VALUE: Final = 64 * 1024
"""Larger values are not kept: a few of them would drive out all others."""


class ReadCache:
    """Entries without an end, of one SQLite file in WAL mode that stays open."""

    def __init__(self, database: Path) -> None:
        with database.with_name(database.name + "-shm").open("rb") as index:
            self._index = mmap.mmap(index.fileno(), HEADER_BYTES, access=mmap.ACCESS_READ)
        self._stamp = b""
        self._entries: dict[str, KVStored] = {}
        self._size = 0

    def stamp(self) -> bytes:
        """Return what names the newest commit; what was kept before it is forgotten."""
        stamp = b"" if self._index.closed else self._index[:HEADER_BYTES]
        if stamp != self._stamp:
            self._stamp = stamp
            self._entries.clear()
            self._size = 0
        return stamp

    def get(self, key: str) -> KVStored | None:
        """Return the kept entry of *key*. To be asked after `stamp`, in the same turn."""
        return self._entries.get(key)

    def keep(self, key: str, stored: KVStored, stamp: bytes) -> None:
        """Keep what was read after *stamp* was taken, unless something was committed since."""
        size = len(stored.value)
        if size > LARGEST_VALUE or not stamp or stamp != self._stamp or key in self._entries:
            return
        while self._size + size > CACHE_BYTES:
            oldest = next(iter(self._entries))
            self._size -= len(self._entries.pop(oldest).value)
        self._entries[key] = stored
        self._size += size

    def close(self) -> None:
        """Let go of the shared memory; nothing is kept from then on."""
        self._index.close()
        self.stamp()
