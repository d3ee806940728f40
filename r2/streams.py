"""
Bodies on their way in and out.

In: text, bytes, nothing, or a stream that says its length beforehand (R2 takes no
other). Out: a stream that is read once, whole or in chunks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol, runtime_checkable

from r2.limits import CHUNK_BYTES

UNKNOWN_LENGTH = (
    "Provided readable stream must have a known length "
    "(request/response body or readable half of FixedLengthStream)"
)
ALREADY_USED = (
    "Body has already been used. It can only be used once. "
    "Use tee() first if you need to read it twice."
)


@runtime_checkable
class KnownLengthStream(Protocol):
    """Chunks of bytes, and how many bytes they will be together."""

    @property
    def length(self) -> int:
        """Bytes in all."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the chunks."""


BodyValue = str | bytes | bytearray | memoryview | KnownLengthStream | None


class FixedLengthStream:
    """
    A stream with a declared length, for bodies that do not know their own.

    Example: `await bucket.put(key, FixedLengthStream(request.stream(), content_length))`.
    The put raises TypeError when the source yields more or fewer bytes.
    """

    def __init__(self, source: AsyncIterable[bytes], length: int) -> None:
        """Declare that *source* yields *length* bytes; TypeError unless a whole number from 0."""
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise TypeError("FixedLengthStream requires an integer length from 0.")
        self._source = source
        self._length = length

    @property
    def length(self) -> int:
        """Bytes in all, as declared."""
        return self._length

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the source."""
        return aiter(self._source)


class IncomingBody:
    """A checked body of a put or part: `length` bytes, in memory or as a stream."""

    def __init__(self, data: bytes | None, source: AsyncIterable[bytes] | None, length: int):
        """Take either *data* or a *source* of *length* bytes."""
        self.data = data
        self.length = length
        self._source = source

    async def chunks(self) -> AsyncIterator[bytes]:
        """
        Yield the bytes, no empty chunk; TypeError when they are not `length` bytes.

        The error for too few comes after the last chunk: keep nothing before the end.
        """
        if self._source is None:
            if self.data:
                yield self.data
            return
        seen = 0
        async for chunk in self._source:
            if not isinstance(chunk, bytes | bytearray | memoryview):
                raise TypeError(f"A stream yields bytes, not {type(chunk).__name__}.")
            data = bytes(chunk)
            seen += len(data)
            if seen > self.length:
                raise TypeError("Attempt to write too many bytes through a FixedLengthStream.")
            if data:
                yield data
        if seen < self.length:
            raise TypeError("FixedLengthStream did not see all expected bytes before close().")


def check_body(where: str, value: object, *, optional: bool) -> IncomingBody:
    """
    Return *value* as a body; None is an empty one where *optional*.

    *where* opens the message, e.g. "Failed to execute 'put' on 'R2Bucket'". Raises
    TypeError for other types and for a stream of unknown length. A bytearray or
    memoryview is copied now, so that later changes do not reach the object.
    """
    if isinstance(value, str):
        value = value.encode("utf-8", "replace")
    elif value is None and optional:
        value = b""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return IncomingBody(data, None, len(data))
    if isinstance(value, AsyncIterable):
        length = getattr(value, "length", None)
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise TypeError(UNKNOWN_LENGTH)
        return IncomingBody(None, value, length)
    raise TypeError(
        f"{where}: parameter 2 is not of type 'stream or bytes or bytearray or memoryview or str'."
    )


class BodySource(ABC):
    """Where an adapter's outgoing bytes come from. Used by one reader, once."""

    @abstractmethod
    async def next_chunk(self) -> bytes:
        """Return the next bytes, b"" after the last."""

    @abstractmethod
    async def read_all(self) -> bytes:
        """Return everything not read so far."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what the source holds; nothing is read afterwards. Never raises."""


class MemorySource(BodySource):
    """Bytes that are already here."""

    def __init__(self, data: bytes) -> None:
        """Hand out *data*."""
        self._data = data
        self._offset = 0

    async def next_chunk(self) -> bytes:
        """Return the next 256 KiB."""
        begin, self._offset = self._offset, self._offset + CHUNK_BYTES
        return self._data[begin : self._offset]

    async def read_all(self) -> bytes:
        """Return what is left."""
        begin, self._offset = self._offset, len(self._data)
        return self._data[begin:]

    def close(self) -> None:
        """Drop the bytes."""
        self._data = b""


class BodyStream:
    """
    The body of an object, to be read once: `async for chunk in body`, or `read_all()`.

    It knows its length, so it can be the value of another put. The bytes stay those of
    the object that was got, also when it is overwritten or deleted meanwhile.
    """

    def __init__(self, source: BodySource, length: int) -> None:
        """Read *length* bytes from *source*."""
        self._source = source
        self._length = length
        self._used = False

    @property
    def length(self) -> int:
        """Bytes in the body."""
        return self._length

    @property
    def used(self) -> bool:
        """Whether somebody began to read it."""
        return self._used

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Begin to read in chunks; TypeError when the body was used before."""
        self._claim()
        return _Chunks(self._source)

    async def read_all(self) -> bytes:
        """Return the whole body; TypeError when it was used before."""
        self._claim()
        try:
            return await self._source.read_all()
        finally:
            self._source.close()

    def cancel(self) -> None:
        """Give the body up unread and free what it holds."""
        self._used = True
        self._source.close()

    def _claim(self) -> None:
        if self._used:
            raise TypeError(ALREADY_USED)
        self._used = True


class _Chunks:
    """The iteration over a body; an object rather than a generator, so that a reader
    who stops early leaves nothing for the event loop to clean up."""

    def __init__(self, source: BodySource) -> None:
        self._source = source

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._source.next_chunk()
        except BaseException:
            self._source.close()
            raise
        if not chunk:
            self._source.close()
            raise StopAsyncIteration
        return chunk
