"""
R2 on an S3 server (MinIO, AWS, Cloudflare's own S3 endpoint), with the `minio` client.

An object of the bucket is an object of the server under the same key; decision 9 and
docs/s3.md say how the rest of R2 is kept beside it and what is promised across hosts.
Requests run in threads of the bucket's own; bodies stream both ways in bounded memory.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Final

from r2.checksums import Digester, R2Checksums, StatedChecksum
from r2.conditions import Condition
from r2.contract import ObjectMetadata, R2Bucket
from r2.errors import BAD_NAME, R2Unavailable, refusal
from r2.listing import ListQuery
from r2.multipart import VERB as COMPLETE
from r2.objects import R2Object, R2ObjectBody, R2Objects, R2UploadedPart
from r2.ranges import R2Range, RangeRequest
from r2.s3_address import S3Address, S3OpenError, check_bucket_name, parse_address
from r2.s3_listing import look, page_of_names
from r2.s3_metadata import RESERVED, Facts, headers_with_sidecar
from r2.s3_objects import S3Objects
from r2.s3_opening import ensure_bucket
from r2.s3_pieces import PIECE_BYTES, Budget, Piece, pieces
from r2.s3_reading import Reader
from r2.s3_removal import delete, sweep
from r2.s3_uploads import Parts, Uploads
from r2.s3_wire import Timing, Wire
from r2.streams import IncomingBody

__all__ = ["MinioBucket", "S3Address", "S3OpenError", "Timing", "open_bucket", "parse_address"]

# HEAD requests of one list on their way at once.
_LOOKERS: Final = 8


class MinioBucket(R2Bucket):
    """A bucket of an S3 server. Made by `open_bucket`."""

    def __init__(
        self, wire: Wire, clock: Callable[[], float], random_bytes: Callable[[int], bytes]
    ) -> None:
        """Own *wire*: it ends with `close`."""
        self._wire = wire
        self._objects = S3Objects(wire)
        self._reader = Reader(wire, self._objects)
        self._uploads = Uploads(wire, self._objects)
        self._clock = clock
        self._random_bytes = random_bytes
        self._budget = Budget()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def close(self) -> None:
        """Wait until running steps end; bodies half read end too."""
        self._reader.close()
        await self._wire.close()

    def begin_sweep(self) -> None:
        """Remove in the background what objects long gone have left behind."""
        self._wire.submit(sweep, self._wire, self._objects, self._now())

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _version(self) -> str:
        """Return a new version: 12 digits of time, for the sweep, and 20 of chance."""
        return f"{self._now():012x}{self._random_bytes(10).hex()}"

    @asynccontextmanager
    async def _writing(self, verb: str, key: str) -> AsyncIterator[None]:
        """One write of *key* at a time in this process; R2Unavailable after long waiting."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(self._wire.timing.patience):
                await lock.acquire()
        except TimeoutError:
            raise R2Unavailable(verb) from None
        try:
            yield
        finally:
            lock.release()

    # -- reading ---------------------------------------------------------------------------

    async def _head(self, key: str) -> R2Object | None:
        if not _is_users(key):
            return None
        found = await self._wire.run("head", self._objects.head, key)
        return None if found is None else found.to_object(R2Range(0, found.size))

    async def _get(
        self, key: str, condition: Condition | None, wanted: RangeRequest | None
    ) -> R2ObjectBody | R2Object | None:
        if not _is_users(key):
            return None
        return await self._wire.run("get", self._reader.open, key, condition, wanted)

    async def _list(self, query: ListQuery) -> R2Objects:
        names = await self._wire.run("list", page_of_names, self._wire, query)
        slices = [names.keys[begin::_LOOKERS] for begin in range(_LOOKERS)]
        steps = (self._wire.run("list", look, self._objects, keys, query) for keys in slices)
        # One that was deleted meanwhile is left out.
        seen = {item.key: item for items in await asyncio.gather(*steps) for item in items}
        objects = [seen[key] for key in names.keys if key in seen]
        return R2Objects(objects, names.cursor is not None, names.cursor, names.groups)

    # -- writing ---------------------------------------------------------------------------

    async def _put(
        self,
        key: str,
        body: IncomingBody,
        metadata: ObjectMetadata,
        condition: Condition | None,
        stated: StatedChecksum | None,
    ) -> R2Object | None:
        _check_name("put", key)
        version, digester = self._version(), Digester(stated)
        if body.length > PIECE_BYTES:
            return await self._put_parts(key, body, metadata, condition, version, digester)
        piece, data = await self._collect("put", body)
        try:
            async with self._writing("put", key):
                step = partial(self._put_whole, key, data, metadata, condition, version, digester)
                return await self._wire.run("put", step)
        finally:
            if piece is not None:
                piece.release()

    def _put_whole(
        self,
        key: str,
        data: bytes | memoryview,
        metadata: ObjectMetadata,
        condition: Condition | None,
        version: str,
        digester: Digester,
    ) -> R2Object | None:
        digester.update(data)
        facts = self._facts(version, metadata, digester.finish())
        return self._objects.put(key, data, facts, condition)

    async def _put_parts(
        self,
        key: str,
        body: IncomingBody,
        metadata: ObjectMetadata,
        condition: Condition | None,
        version: str,
        digester: Digester,
    ) -> R2Object | None:
        headers = headers_with_sidecar(version, metadata)
        if body.data is not None:
            # All of it is here: a wrong checksum is refused before anything is sent.
            await self._wire.run("put", digester.update, body.data)
        async with Parts(self._wire, self._objects, key, headers) as parts:
            if body.data is None:
                await parts.send_stream(body, digester, self._budget)
            else:
                await parts.send_data(body.data)
            # A wrong checksum is refused while nothing is visible yet.
            checksums = digester.finish()
            async with self._writing("put", key):
                facts = self._facts(version, metadata, checksums)
                stored = await self._wire.run("put", parts.finish, facts, condition, sidecar=True)
        return facts.to_object(key, body.length) if stored else None

    def _facts(self, version: str, metadata: ObjectMetadata, checksums: R2Checksums) -> Facts:
        etag = (checksums.md5 or b"").hex()
        return Facts(version, self._now(), etag, checksums, metadata.http, metadata.custom)

    async def _collect(
        self, verb: str, body: IncomingBody
    ) -> tuple[Piece | None, bytes | memoryview]:
        """Return the whole of *body* as one piece, to be released, or as the bytes it was."""
        if body.data is not None:
            return None, body.data

        async def write(step: Callable[[memoryview], object], chunk: memoryview) -> object:
            return await self._wire.run(verb, step, chunk)

        taken = pieces(body, max(body.length, 1), self._budget, write)
        async with aclosing(taken) as whole:  # type: ignore[type-var]
            async for piece in whole:
                return piece, piece.view() if body.length else b""
        raise AssertionError("a body is at least one piece")

    async def _delete(self, keys: Sequence[str]) -> None:
        users = list(dict.fromkeys(key for key in keys if _is_users(key)))
        if users:
            await self._wire.run("delete", delete, self._wire, users)

    # -- uploads in parts ------------------------------------------------------------------

    async def _create_upload(self, key: str, metadata: ObjectMetadata) -> str:
        verb = "createMultipartUpload"
        _check_name(verb, key)
        upload_id = f"{self._now():012x}{self._random_bytes(26).hex()}"
        create = self._uploads.create
        await self._wire.run(verb, create, upload_id, key, self._version(), metadata)
        return upload_id

    async def _upload_part(
        self, key: str, upload_id: str, number: int, body: IncomingBody
    ) -> R2UploadedPart:
        piece, data = await self._collect("uploadPart", body)
        try:
            step = partial(self._uploads.send_part, key, upload_id, number, data)
            future = self._wire.submit(step)
            return await self._wire.wait("uploadPart", future, body.length)
        finally:
            if piece is not None:
                piece.release()

    async def _complete_upload(
        self, key: str, upload_id: str, parts: Sequence[R2UploadedPart]
    ) -> R2Object:
        async with self._writing(COMPLETE, key):
            step = self._uploads.complete
            return await self._wire.run(COMPLETE, step, key, upload_id, parts, self._now())

    async def _abort_upload(self, key: str, upload_id: str) -> None:
        await self._wire.run("abortMultipartUpload", self._uploads.abort, key, upload_id)


async def open_bucket(
    address: S3Address,
    bucket_name: str,
    *,
    clock: Callable[[], float],
    random_bytes: Callable[[int], bytes],
    timing: Timing | None = None,
) -> MinioBucket:
    """
    Open the bucket *address* names, else *bucket_name*; it is made when there is none.

    *clock* tells seconds since the epoch; *random_bytes* names versions and uploads and
    must not repeat itself. Raises `S3OpenError`, a sentence without the keys.
    """
    name = address.bucket or check_bucket_name(bucket_name)
    wire = Wire(address, name, timing or Timing())
    try:
        await ensure_bucket(wire, address)
    except BaseException:
        await wire.close()
        raise
    bucket = MinioBucket(wire, clock, random_bytes)
    bucket.begin_sweep()
    return bucket


def _is_users(key: str) -> bool:
    """Return whether an object may have *key*: S3 has no empty one, and some are ours."""
    return bool(key) and not key.startswith(RESERVED)


def _check_name(verb: str, key: str) -> None:
    if not _is_users(key):
        raise refusal(verb, BAD_NAME)
