"""
Bodies from an S3 server: read by threads, one chunk ahead of the reader.

No thread waits for a slow reader: the bytes wait in the connection. A body that ends early,
because the connection broke, is an error and never a shorter object.
"""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

import urllib3

from r2.conditions import Condition
from r2.limits import CHUNK_BYTES, WHOLE_BYTES
from r2.objects import R2Object, R2ObjectBody
from r2.ranges import R2Range, RangeRequest
from r2.s3_objects import Found, S3Objects
from r2.s3_wire import Response, Unreachable, Wire
from r2.s3_xml import NotS3
from r2.streams import BodySource, BodyStream, MemorySource

_BREAKS: Final = (OSError, ValueError, AttributeError)
# How often a get starts over when the object is replaced between its two requests.
_TRIES: Final = 20


def read_exactly(response: Response, size: int) -> bytes:
    """Return the whole body of *size* bytes and give the connection back. Raises Unreachable."""
    data = _read(response, None)
    if len(data) != size:
        response.close()
        raise Unreachable("the body ended early")
    response.release_conn()
    return data


class S3Source(BodySource):
    """A body of *length* bytes on its way."""

    def __init__(self, wire: Wire, response: Response, length: int) -> None:
        """Read *response* to its end, or until `close`."""
        self._wire = wire
        self._response = response
        self._left = length
        self._ahead: Future[bytes] | None = None
        self._closed = False

    async def next_chunk(self) -> bytes:
        """Return the next 256 KiB. Raises R2Unavailable when the connection breaks."""
        # What is read ahead counts when it is handed out, here.
        if self._closed or not self._left:
            return b""
        coming = self._ahead or self._wire.submit(self._next, self._left)
        self._ahead = coming
        chunk = await self._wire.wait("get", coming)
        self._left -= len(chunk)
        self._ahead = self._wire.submit(self._next, self._left) if self._left else None
        return chunk

    async def read_all(self) -> bytes:
        """Return what is left. Raises R2Unavailable when the connection breaks."""
        parts = []
        while chunk := await self.next_chunk():
            parts.append(chunk)
        return b"".join(parts)

    def _next(self, left: int) -> bytes:
        chunk = _read(self._response, min(CHUNK_BYTES, left))
        if not chunk:
            raise Unreachable("the body ended early")
        if len(chunk) == left:
            self._response.release_conn()
        return chunk

    def close(self) -> None:
        """Close the connection, unless the body was read to its end; never raises."""
        if self._closed:
            return
        self._closed = True
        ahead = self._ahead
        if ahead is not None and not ahead.cancel() and not ahead.done():
            # A thread is reading: wake it, and close when it has ended.
            with suppress(*_BREAKS, RuntimeError):
                self._response.shutdown()
            ahead.add_done_callback(lambda _: self._drop())
        else:
            self._drop()

    def _drop(self) -> None:
        if self._left:
            with suppress(*_BREAKS):
                self._response.close()


def _read(response: Response, amount: int | None) -> bytes:
    try:
        return response.read(amount, decode_content=False)
    except (urllib3.exceptions.HTTPError, *_BREAKS) as error:
        with suppress(*_BREAKS):
            response.close()
        raise Unreachable(f"the connection broke off ({type(error).__name__})") from None


class Reader:
    """Opens the objects of a bucket."""

    def __init__(self, wire: Wire, objects: S3Objects) -> None:
        """Look up in *objects*, read through *wire*."""
        self._wire = wire
        self._objects = objects
        self._sources: weakref.WeakSet[S3Source] = weakref.WeakSet()

    def close(self) -> None:
        """Close the bodies that are still being read."""
        for source in list(self._sources):
            source.close()

    def open(
        self, key: str, condition: Condition | None, wanted: RangeRequest | None
    ) -> R2ObjectBody | R2Object | None:
        """
        Open the object, in a thread: judged, measured and read in one version.

        A body of up to 2 MiB is read here. Raises R2Error 10039, Refused and Unreachable.
        """
        for _ in range(_TRIES):
            seen: Found | None = None
            headers: dict[str, str] = {}
            if condition is not None or wanted is not None:
                seen = self._objects.head(key)
                if seen is None:
                    return None
                if condition is not None and not condition.holds(
                    seen.facts.etag, seen.facts.uploaded
                ):
                    return seen.to_object(R2Range(0, seen.size))
                span = R2Range(0, seen.size) if wanted is None else wanted.resolve(seen.size)
                if not span.length:
                    return _with_body(seen, span, MemorySource(b""))
                headers["If-Match"] = f'"{seen.raw_etag}"'
                if span.length < seen.size:
                    last = span.offset + span.length - 1
                    headers["Range"] = f"bytes={span.offset}-{last}"
            opened = self._receive(key, headers, seen, wanted)
            if opened is not None or seen is None:
                return opened
        raise Unreachable("others write this object all the time")

    def _receive(
        self, key: str, headers: dict[str, str], seen: Found | None, wanted: RangeRequest | None
    ) -> R2ObjectBody | None:
        """Return the body of *key*; None when it is gone or no more the one *seen*."""
        response = self._objects.open(key, headers)
        if response is None:
            return None
        try:
            length = _length(response)
            size = seen.size if seen is not None else length
            found = self._objects.found(key, response.headers, size)
            span = R2Range(0, size) if wanted is None else wanted.resolve(size)
            if length != span.length or (
                seen is not None and found.facts.version != seen.facts.version
            ):
                response.close()
                return None
            if length <= WHOLE_BYTES:
                return _with_body(found, span, MemorySource(read_exactly(response, length)))
        except BaseException:
            response.close()
            raise
        source = S3Source(self._wire, response, length)
        self._sources.add(source)
        return _with_body(found, span, source)


def _with_body(found: Found, span: R2Range, source: BodySource) -> R2ObjectBody:
    fields = found.facts.fields(found.key, found.size)
    return R2ObjectBody(**fields, range=span, body=BodyStream(source, span.length))


def _length(response: Response) -> int:
    try:
        return int(response.headers["content-length"])
    except (KeyError, ValueError):
        raise NotS3 from None
