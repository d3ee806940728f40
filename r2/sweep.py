"""
The sweep: removes what crashes and forgotten uploads leave behind.

Safe beside running processes: a body at work is locked by its writer, and a file goes
only when nobody holds the lock and, looked at again under it, no row names it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from r2.bodies import BodyFolder, try_lock
from r2.ledger import Ledger, drop_uploads
from r2.limits import UPLOAD_LIFETIME_SECONDS

# Files looked up in one query.
_BATCH = 1000


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
