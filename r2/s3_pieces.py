"""
Bodies on their way to an S3 server, collected piece by piece on the event loop.

A piece is sent when it is whole, so that a slow client never keeps a thread or a connection
of the server waiting. Pieces are in memory as long as all of them together fit the budget;
beyond it they are in temporary files without a name, and memory stays flat however many
uploads run.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import IO, Final

from r2.streams import IncomingBody

# S3's smallest part, and so the largest body that goes up in one request.
PIECE_BYTES: Final = 5 * 1024 * 1024
BUDGET_BYTES: Final = 12 * PIECE_BYTES

# Writes to a file off the event loop.
Write = Callable[[Callable[[memoryview], object], memoryview], Awaitable[object]]


class Budget:
    """How many bytes of pieces may be in memory. Used on the event loop only."""

    def __init__(self, left: int = BUDGET_BYTES) -> None:
        """Begin with *left* bytes."""
        self.left = left

    def take(self, size: int) -> bool:
        """Return whether *size* bytes were free; they are taken then."""
        if size > self.left:
            return False
        self.left -= size
        return True


class Piece:
    """*size* bytes of a body: filled once, read by threads, released once by the loop."""

    def __init__(self, size: int, budget: Budget) -> None:
        """Take memory from *budget*, or a temporary file when there is none left."""
        self._size = size
        self._budget = budget
        self._filled = 0
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None
        self._data = bytearray()
        self._in_memory = size <= PIECE_BYTES and budget.take(size)
        if not self._in_memory and size:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by release

    @property
    def full(self) -> bool:
        """Whether all bytes are here."""
        return self._filled == self._size

    async def fill(self, chunk: memoryview, write: Write) -> memoryview:
        """Take what fits of *chunk* and return the rest."""
        fits = chunk[: self._size - self._filled]
        if self._file is None:
            self._data += fits
        else:
            await write(self._file.write, fits)
        self._filled += len(fits)
        return chunk[len(fits) :]

    def view(self) -> memoryview:
        """Return the bytes of a full piece."""
        if self._file is None:
            return memoryview(self._data)
        if self._map is None:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), self._size, access=mmap.ACCESS_READ)
        return memoryview(self._map)

    def release(self) -> None:
        """Let go of memory and file; repeatable."""
        if self._in_memory:
            self._in_memory = False
            self._budget.left += self._size
        # Views that are still around keep what they show until they go.
        self._data, self._map = bytearray(), None
        if self._file is not None:
            self._file.close()
            self._file = None


async def pieces(
    body: IncomingBody, size: int, budget: Budget, write: Write
) -> AsyncIterator[Piece]:
    """
    Yield *body* in full pieces of *size* bytes, the last one shorter; the taker releases them.

    Raises what the source raises, and TypeError when it has another length than declared:
    too few bytes show after the last full piece, so nothing may become visible before the end.
    """
    left = body.length
    piece = Piece(min(size, left), budget)
    try:
        async with aclosing(body.chunks()) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    rest = await piece.fill(rest, write)
                    if piece.full and left > size:
                        left -= size
                        yield piece
                        piece = Piece(min(size, left), budget)
        yield piece
    except GeneratorExit:
        # Left at a yield: the piece is the taker's.
        raise
    except BaseException:
        piece.release()
        raise
