"""
Values that were read lately, kept in memory as long as nothing was committed.

KV is made for many reads and few writes, and a point query costs as much as the rest of a small
answer. What says "nothing was committed" is the header of SQLite's WAL index (the file `-shm`,
sqlite.org/walformat.html §2.1): its first 48 bytes change with each commit of any process, and
looking at them is a look at shared memory. So a hit is as fresh as a query would be.

The trap: on POSIX, closing any descriptor of a file drops every lock that the process has on it,
those of SQLite's own connections too, and another process then wrecks the index under our feet
(lost writes, SIGBUS; found by tests/bindings/test_kv_d1_processes.py). So there is one descriptor
for each index in the process, and it stays open until the last namespace that uses it has closed
its connections.
"""

import mmap
import os
from pathlib import Path
from typing import Final

from kv.contract import KVStored

HEADER_BYTES: Final = 48
CACHE_BYTES: Final = 8 * 1024 * 1024
LARGEST_VALUE: Final = 64 * 1024
"""Larger values are not kept: a few of them would drive out all others."""


class _Index:
    """The first bytes of one WAL index, mapped once for all its users in this process."""

    opened: "dict[tuple[int, int], _Index]" = {}  # noqa: RUF012 - the process's own, on purpose
    """By device and inode."""

    def __init__(self, path: Path) -> None:
        self.users = 0
        self._descriptor = os.open(path, os.O_RDONLY)
        self._memory = mmap.mmap(self._descriptor, HEADER_BYTES, access=mmap.ACCESS_READ)

    @classmethod
    def of(cls, path: Path) -> "_Index":
        """Return the index at *path*; opened only if nobody has it open yet."""
        found = path.stat()  # looks without opening
        key = (found.st_dev, found.st_ino)
        index = cls.opened.get(key)
        if index is None:
            index = cls.opened[key] = cls(path)
        index.users += 1
        return index

    def header(self) -> bytes:
        """Return the bytes that change with each commit."""
        return self._memory[:HEADER_BYTES]

    def let_go(self) -> None:
        """Close it after the last user; SQLite's connections are closed by then."""
        self.users -= 1
        if self.users:
            return
        for key, index in list(self.opened.items()):
            if index is self:
                del self.opened[key]
        self._memory.close()
        os.close(self._descriptor)


class ReadCache:
    """
    Entries without an end, of one SQLite file in WAL mode that stays open.

    To be closed after the connections of its namespace, see above.
    """

    def __init__(self, database: Path) -> None:
        self._index: _Index | None = _Index.of(database.with_name(database.name + "-shm"))
        self._stamp = b""
        self._entries: dict[str, KVStored] = {}
        self._size = 0

    def stamp(self) -> bytes:
        """Return what names the newest commit; what was kept before it is forgotten."""
        stamp = b"" if self._index is None else self._index.header()
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
        if self._index is not None:
            self._index.let_go()
        self._index = None
        self.stamp()
