"""A body on its way into R2: counted, hashed, and with a sign of life now and then."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

from r2.contract import R2ObjectBody
from worker.env import Env
from worker.errors import BadRequest, IncompleteBody, LengthRequired, PayloadTooLarge
from worker.limits import BACKUP_TOUCH_SECONDS
from worker.web import Request


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


class Blob:
    """The stream of a request's body; after its end, `sha256` is the digest in hexadecimal."""

    def __init__(
        self, request: Request, length: int, env: Env, alive: Callable[[], Awaitable[None]]
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
        async for chunk in self._source:
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


async def chunks(found: R2ObjectBody | None) -> AsyncIterator[bytes]:
    """Yield the body of what was found; nothing for None (an answer to HEAD)."""
    if found is not None:
        async for chunk in found.body:
            yield chunk
