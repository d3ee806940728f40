"""
Between the event loop and the files: bodies in and out of a bucket's threads.

At most two chunks of a streamed body are in memory: one being written and hashed, one
being collected from its source.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from r2.bodies import BodyReader, BodyWriter
from r2.checksums import Digester, R2Checksums
from r2.limits import CHUNK_BYTES
from r2.streams import BodySource, IncomingBody


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


async def receive(
    run: Run, writer: BodyWriter, body: IncomingBody, digester: Digester
) -> R2Checksums:
    """
    Write *body* and publish it; return its checksums.

    Raises R2Error 10037 (the stated checksum is another), TypeError (the stream's
    length is another), and what the stream raises. The caller discards the writer then.
    """
    if body.data is None:
        await _receive_stream(run, writer, body, digester)
        return digester.finish()
    if body.length <= CHUNK_BYTES:
        await run(_store, writer, body.data, digester)
        return digester.finish()
    # Hashing 2 MB takes about as long as syncing it: side by side, neither waits.
    await asyncio.gather(run(_store, writer, body.data, None), run(digester.update, body.data))
    return digester.finish()


def _store(writer: BodyWriter, data: bytes, digester: Digester | None) -> None:
    """Write the whole body, in one step."""
    if digester is not None:
        digester.update(data)
        # Before anything touches the disk.
        digester.finish()
    writer.begin()
    writer.write(data)
    writer.publish()


async def _receive_stream(
    run: Run, writer: BodyWriter, body: IncomingBody, digester: Digester
) -> None:
    """Write chunk by chunk; while one is written the next is collected."""

    def append(data: bytes) -> None:
        writer.write(data)
        digester.update(data)

    writing: asyncio.Future[None] = asyncio.ensure_future(run(writer.begin))
    collected = bytearray()
    try:
        async for chunk in body.chunks():
            collected += chunk
            while len(collected) >= CHUNK_BYTES:
                piece = bytes(memoryview(collected)[:CHUNK_BYTES])
                del collected[:CHUNK_BYTES]
                await writing
                writing = asyncio.ensure_future(run(append, piece))
        await writing
    finally:
        # A source that fails leaves the last step running; nobody waits for it then,
        # and nobody asks how it ended.
        if not writing.cancel() and not writing.cancelled():
            writing.exception()
    await run(append, bytes(collected))
    digester.finish()
    await run(writer.publish)
