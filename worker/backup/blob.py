"""A body on its way into R2 and out: counted, hashed, in time, with a sign of life now and then."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from r2.contract import FixedLengthStream, R2BodyLost, R2Error, R2ObjectBody
from worker.env import Env
from worker.errors import (
    BadRequest,
    IncompleteBody,
    LengthRequired,
    PayloadTooLarge,
    RequestTimeout,
    StorageUnavailable,
)
from worker.limits import KIB
from worker.quotas import require_room, store_failed, while_room
from worker.web import Request

# An upload gives a sign of life this often.
BACKUP_TOUCH_SECONDS = 5
# It may take a minute, and as long as its bytes need on a slow line.
UPLOAD_SECONDS = 60
UPLOAD_BYTES_PER_SECOND = 64 * KIB

SOON = {"Retry-After": "2"}


def declared_length(request: Request, least: int, most: int) -> int:
    """
    Return the Content-Length of *request*, *least* to *most* bytes.

    Raises `LengthRequired` without one, `BadRequest`, `PayloadTooLarge`.
    """
    length = request.content_length
    if length is None:
        raise LengthRequired("Send the body with its Content-Length.")
    if length < least:
        raise BadRequest(f"The body must have at least {least} bytes.")
    if length > most:
        raise PayloadTooLarge(f"The body may have at most {most} bytes.")
    return length


async def _nobody_to_tell() -> None:
    """Give no sign of life."""


class Blob:
    """
    The stream of a request's body; after its end, `sha256` is the digest in hexadecimal.

    *alive* is called every few seconds while bytes arrive; what it raises ends the upload.
    """

    def __init__(
        self,
        request: Request,
        length: int,
        env: Env,
        alive: Callable[[], Awaitable[None]] = _nobody_to_tell,
    ) -> None:
        self.length = length
        self._source = request.stream()
        self._env = env
        self._alive = alive
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of what went through."""
        return self._hash.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body; raises `IncompleteBody` when it is not as long as declared."""
        size = 0
        told = self._env.tools.now()
        async for chunk in while_room(self._env, self._source):
            size += len(chunk)
            if size > self.length:
                break
            self._hash.update(chunk)
            yield chunk
            if (now := self._env.tools.now()) - told > BACKUP_TOUCH_SECONDS:
                told = now
                await self._alive()
        if size != self.length:
            raise IncompleteBody("The body is not as long as its Content-Length says.")


def upload_seconds(length: int) -> float:
    """Return how long an upload of *length* bytes may take."""
    return UPLOAD_SECONDS + length / UPLOAD_BYTES_PER_SECOND


async def store(env: Env, key: str, blob: Blob) -> None:
    """
    Put *blob* at *key*, which nobody else writes.

    Raises `RequestTimeout`, `StorageUnavailable`, `StorageFull`, and what the body raises.
    Whether an object is at *key* after an error is not known.
    """
    require_room(env, blob.length)
    try:
        async with asyncio.timeout(upload_seconds(blob.length)) as allowance:
            await env.blobs.put(key, FixedLengthStream(blob, blob.length))
    except (R2Error, TimeoutError) as error:
        if allowance.expired():
            raise RequestTimeout("The upload took too long.") from None
        env.log.error("blob_store_failed", error)
        raise store_failed(env, "The body could not be stored.") from None


async def fetch(env: Env, key: str, part: Mapping[str, int] | None = None) -> R2ObjectBody | None:
    """
    Return the object at *key*, or *part* of it (offset and length in bytes).

    None when there is none, or its bytes are lost: asking again would find no more.

    Raises `StorageUnavailable`.
    """
    try:
        found = await env.blobs.get(key, range=part)
    except R2BodyLost as error:
        env.log.error("blob_lost", error)
        return None
    except R2Error as error:
        raise _unreadable(env, error) from None
    return found if isinstance(found, R2ObjectBody) else None


async def exists(env: Env, key: str) -> bool:
    """Whether there is an object at *key*. Raises `StorageUnavailable`."""
    try:
        return await env.blobs.head(key) is not None
    except R2BodyLost as error:
        env.log.error("blob_lost", error)
        return False
    except R2Error as error:
        raise _unreadable(env, error) from None


async def remove(env: Env, *keys: str) -> None:
    """Remove objects; a failure is logged, because the sweep will find them."""
    try:
        await env.blobs.delete(list(keys))
    except Exception as error:
        env.log.error("blob_remove_failed", error)


async def chunks(found: R2ObjectBody | None) -> AsyncIterator[bytes]:
    """Yield the body of what was found; nothing for None (an answer to HEAD)."""
    if found is not None:
        async for chunk in found.body:
            yield chunk


def _unreadable(env: Env, error: R2Error) -> StorageUnavailable:
    env.log.error("blob_read_failed", error)
    return StorageUnavailable("The store does not answer.", headers=SOON)
