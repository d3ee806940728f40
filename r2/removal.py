"""
Bodies that no row names any more, and when they may go.

A commit survives the death of the process at once, a power cut only when SQLite syncs
next. A body removed sooner could be missing beside a row that a power cut brought back,
so what was replaced waits for a sync of the ledger, one for all of a second. That also
keeps freeing the disk blocks away from the writes that follow.

The sweep removes what crashes and forgotten uploads leave behind. It is safe beside running
processes: a body at work is locked by its writer, and a file goes only when nobody holds the
lock and, looked at again under it, no row names it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from d1_schema.sqlite.engine import Error
from r2.bodies import BodyFolder, try_lock
from r2.ledger import Ledger, drop_uploads
from r2.limits import UPLOAD_LIFETIME_SECONDS

# How long a replaced or deleted body stays on the disk.
_DELAY_SECONDS = 1.0
# Files looked up in one query.
_BATCH = 1000


class Removal:
    """The bodies of one bucket that wait to be removed. A crash leaves them to the sweep."""

    def __init__(self, folder: BodyFolder, ledger: Ledger, pool: ThreadPoolExecutor) -> None:
        """Remove from *folder*, in threads of *pool*, what *ledger* has durably forgotten."""
        self._folder = folder
        self._ledger = ledger
        self._pool = pool
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, versions: Sequence[str]) -> None:
        """Take bodies whose rows are gone, after the commit. From any thread."""
        with self._lock:
            self._waiting.extend(versions)

    def schedule(self) -> None:
        """Remove what waits within a second. On the event loop."""
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY_SECONDS, self._begin)

    def stop(self) -> None:
        """Plan no more; `run` removes the rest. On the event loop."""
        if self._timer is not None:
            self._timer.cancel()

    def run(self) -> None:
        """Remove what waits. Blocks. Where the disk fails the next sweep tries again."""
        with self._lock:
            versions, self._waiting = self._waiting, []
        if not versions:
            return
        with suppress(Error):
            self._ledger.sync()
            for version in versions:
                self._folder.remove(version)
            self._ledger.empty_log()

    def _begin(self) -> None:
        self._timer = None
        # RuntimeError: the bucket is closing, which removes the rest.
        with suppress(RuntimeError):
            self._pool.submit(self.run)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep removed: orphan files, their bytes, and uploads left open too long."""

    files: int
    bytes: int
    uploads: int


def sweep(folder: BodyFolder, ledger: Ledger, now: int) -> SweepReport:
    """Remove uploads over their lifetime, then bodies without a row. *now* in ms."""
    with ledger.write() as connection:
        uploads, versions = drop_uploads(connection, now - UPLOAD_LIFETIME_SECONDS * 1000)
    if versions:
        ledger.sync()
    for version in versions:
        folder.remove(version)
    files = size = 0
    for batch in _candidates(folder, ledger):
        # A power cut must not bring back the row of a file that goes now.
        ledger.sync()
        for path in batch:
            removed = _remove_orphan(path, ledger)
            if removed is not None:
                files += 1
                size += removed
    return SweepReport(files, size, uploads)


def _candidates(folder: BodyFolder, ledger: Ledger) -> Iterator[list[Path]]:
    """Yield the files no row names at this moment, none empty; some may be at work."""
    incoming = _entries(folder.incoming)
    while batch := [entry.name for entry in islice(incoming, _BATCH)]:
        yield [folder.incoming / name for name in batch]
    entries = _entries(folder.bodies)
    while batch := [entry.name for entry in islice(entries, _BATCH)]:
        known = ledger.known_versions(batch)
        if orphans := [folder.bodies / name for name in batch if name not in known]:
            yield orphans


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries


def _remove_orphan(path: Path, ledger: Ledger) -> int | None:
    """Remove *path* unless a writer holds it or a row names it; return its size if it went."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # After the lock: the writer may have committed between our query and now.
        if not try_lock(handle) or ledger.known_versions([path.name]):
            return None
        size = os.fstat(handle).st_size
        with suppress(FileNotFoundError):
            path.unlink()
            return size
        return None
    finally:
        os.close(handle)
