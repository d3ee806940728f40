"""
Bodies that no row names any more, and when they may go.

A commit survives the death of the process at once, a power cut only when SQLite syncs
next. A body removed sooner could be missing beside a row that a power cut brought back,
so what was replaced waits for a sync of the ledger, one for all of a second. That also
keeps freeing the disk blocks away from the writes that follow.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from d1_schema.sqlite.engine import Error
from r2.bodies import BodyFolder
from r2.ledger import Ledger

# How long a replaced or deleted body stays on the disk.
_DELAY_SECONDS = 1.0


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

    def _begin(self) -> None:
        self._timer = None
        # RuntimeError: the bucket is closing, which removes the rest.
        with suppress(RuntimeError):
            self._pool.submit(self.run)
