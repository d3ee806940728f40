"""
A SQLite connection in a thread of its own, run by aiosqlite.

The library starts the thread, hands work to it and brings the answer back; what it calls a
connection is whatever the function given to it opens, here one of `engine`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from d1_schema.sqlite.dialect import open_connection
from d1_schema.sqlite.engine import Connection
from d1_schema.sqlite.handle import Handle
from d1_schema.sqlite.writes import Lane

T = TypeVar("T")


class AiosqliteLane(aiosqlite.Connection):
    """A connection in a thread of its own, where a whole piece of work is one hop."""

    handle: Handle

    def __init__(self, connect: Callable[[], Handle]) -> None:
        def opened() -> Connection:
            self.handle = connect()
            return self.handle.connection

        super().__init__(cast(Any, opened), iter_chunk_size=64)
        # A program that dies of an error must not hang on a thread that waits for work.
        self._thread.daemon = True

    async def run(self, work: Callable[[], T]) -> T:
        """Run *work* in the thread, after what was handed in before."""
        # The way of the library's own methods, each of which would be a hop.
        result: T = await self._execute(work)  # type: ignore[no-untyped-call]
        return result

    async def close_lane(self) -> None:
        """Close the connection, copying the WAL if it is the last; end the thread."""
        await self.run(self.handle.let_go)
        await self.close()


async def open_lane(
    path: Path, prepare: Callable[[Connection], Handle], *, is_limited: bool
) -> Lane:
    """
    Open one more connection to *path* in a thread; it may wait for locks.

    *prepare* makes the handle, in that thread.
    """

    def connect() -> Handle:
        return prepare(
            open_connection(path, wait_seconds=30.0, autocheckpoint_pages=0, is_limited=is_limited)
        )

    lane = AiosqliteLane(connect)
    await lane
    return lane
