"""
Between the event loop and the files: bodies in and out of a bucket's threads.

Of a streamed body two parts of some chunks each are in memory: one being written and hashed,
one being collected from its source.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from r2.bodies import BodyReader, BodyWriter
from r2.checksums import Digester, R2Checksums
from r2.limits import CHUNK_BYTES
from r2.streams import BodySource, IncomingBody

T = TypeVar("T")

# A host's read gives up to 256 KiB, often a bit less: it is a part of its own.
_PART_BYTES = CHUNK_BYTES // 2
# Of tiny chunks the objects around them would be most of the memory.
_MOST_PIECES = 1024

# Not every Unix has it; without, the scheduler decides alone.
_let_others_run: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


class Run(Protocol):
    """Runs a blocking step in a thread of the bucket and returns its result."""

    async def __call__(self, step: Any, /, *args: Any) -> Any:
        """Return what *step* returns."""


class FileSource(BodySource):
    """The bytes of a body file, read in the bucket's threads."""

    def __init__(self, run: Run, reader: BodyReader) -> None:
        """Read with *reader*."""
        self._run = run
        self._reader = reader

    async def next_chunk(self) -> bytes:
        """Return the next 256 KiB."""
        chunk: bytes = await self._run(self._reader.read, CHUNK_BYTES)
        return chunk

    async def read_all(self) -> bytes:
        """Return what is left."""
        data: bytes = await self._run(self._reader.read_all)
        return data

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class Receiver:
    """
    Takes one body in: writes, hashes, publishes, and commits in the last step.

    A body in memory costs the event loop one step in a thread, whatever its size. A
    large one is written and synced by a second thread meanwhile, because hashing 2 MB
    takes longer than syncing them: the first thread hashes, then commits at once.
    """

    def __init__(self, run: Run, storing: ThreadPoolExecutor, writer: BodyWriter) -> None:
        """Run steps with *run*; *storing* runs nothing that waits, or steps would starve."""
        self._run = run
        self._storing = storing
        self._writer = writer

    async def receive(
        self,
        body: IncomingBody,
        digester: Digester,
        commit: Callable[[R2Checksums], T | None],
    ) -> T | None:
        """
        Return what *commit* returns for the checksums; None discards the body.

        Raises R2Error 10037 (the stated checksum is another), TypeError (the stream's
        length is another), and what the stream or *commit* raise; the caller discards
        the writer then.
        """
        if body.data is None:
            await self._collect(body, digester)
            step = partial(self._finish, digester, self._writer.publish, commit)
        else:
            step = partial(self._take, body.data, digester, commit)
        kept: T | None = await self._run(step)
        return kept

    def _take(
        self, data: bytes, digester: Digester, commit: Callable[[R2Checksums], T | None]
    ) -> T | None:
        if len(data) > CHUNK_BYTES:
            stored = self._storing.submit(self._store, data)
            _hash(data, digester)
            return self._finish(digester, stored.result, commit)
        digester.update(data)
        # Refuse a wrong checksum before anything touches the disk.
        digester.finish()
        return self._finish(digester, partial(self._store, data), commit)

    def _store(self, data: bytes) -> None:
        self._writer.begin()
        self._writer.write(data)
        self._writer.publish()

    def _finish(
        self,
        digester: Digester,
        published: Callable[[], None],
        commit: Callable[[R2Checksums], T | None],
    ) -> T | None:
        published()
        checksums = digester.finish()
        return self._writer.commit(lambda: commit(checksums))

    async def _collect(self, body: IncomingBody, digester: Digester) -> None:
        """Write chunks as they are, some at a time; while these are written more are collected."""

        def append(pieces: list[bytes]) -> None:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._writer.write(data)
            digester.update(data)

        writing: asyncio.Future[None] = asyncio.ensure_future(self._run(self._writer.begin))
        collected: list[bytes] = []
        size = 0
        try:
            async for chunk in body.chunks():
                collected.append(chunk)
                size += len(chunk)
                if size >= _PART_BYTES or len(collected) >= _MOST_PIECES:
                    await writing
                    writing = asyncio.ensure_future(self._run(append, collected))
                    collected, size = [], 0
            await writing
        finally:
            # A source that fails leaves the last step running; nobody waits for it then,
            # and nobody asks how it ended.
            if not writing.cancel() and not writing.cancelled():
                writing.exception()
        await self._run(append, collected)
        # Refuse a wrong checksum before syncing what will go.
        digester.finish()


def _hash(data: bytes, digester: Digester) -> None:
    """Hash *data*; the thread that writes it may wait for this core, and needs it less."""
    whole = memoryview(data)
    for begin in range(0, len(data), CHUNK_BYTES):
        _let_others_run()
        digester.update(whole[begin : begin + CHUNK_BYTES])
