"""A SQLite connection in a thread of its own, run by aiosqlite."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

from d1_schema.sqlite.dialect import open_connection
from d1_schema.sqlite.handle import Handle
from d1_schema.sqlite.writes import Lane

T = TypeVar("T")


class AiosqliteLane(aiosqlite.Connection):
    """A connection in a thread of its own, where a whole piece of work is one hop."""

    handle: Handle

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connect, iter_chunk_size=64)
        # A program that dies of an error must not hang on a thread that waits for work.
        self._thread.daemon = True

    async def run(self, work: Callable[[], T]) -> T:
        """Run *work* in the thread, after what was handed in before."""
        result: T = await self._execute(work)  # type: ignore[no-untyped-call]
        return result

    async def close_lane(self) -> None:
        """Close the connection, copying the WAL if it is the last; end the thread."""
        await self.run(self.handle.let_go)
        await self.close()


async def open_lane(
    path: Path, prepare: Callable[[sqlite3.Connection], Handle], *, is_limited: bool
) -> Lane:
    """
    Open one more connection to *path* in a thread; it may wait for locks.

    *prepare* makes the handle, in that thread. Text that is not UTF-8 is read
    leniently here (see `handle.is_for_lane`).
    """

    def connect() -> sqlite3.Connection:
        connection = open_connection(
            path, timeout=30.0, autocheckpoint_pages=0, is_limited=is_limited, is_shared=True
        )
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        return connection

    lane = AiosqliteLane(connect)
    await lane
    lane.handle = await lane.run(lambda: prepare(lane._conn))  # noqa: SLF001 - own subclass
    return lane
