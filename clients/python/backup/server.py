"""
The server's side of the wire: `/v1/backup` and `/v1/attachments`, with retries (seed 1.001 §4.3).

It moves bytes and versions; what they mean is not known here.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from clients.python.answers import read_object, read_problem, sentence
from clients.python.backup.errors import BackupError, Conflict, Refused, TooLarge, Unreachable
from clients.python.backup.sealing import LARGEST_BLOB

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_T = TypeVar("_T")

# What a transfer tells: bytes so far, and of how many (None when the server does not say).
Progress = Callable[[int, int | None], None]
Sleep = Callable[[float], Awaitable[None]]

LARGEST_ATTACHMENT = 50 * 1024 * 1024
_TRIES = 5
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
# "Later" and "not me": the request was not carried out, or may be carried out again.
_TRY_AGAIN = (429, 502, 503, 504)
_BLOCK = 1 << 16
_ETAG = re.compile(r'(?:W/)?"?(\d{1,15})"?')
# An attachment id as this server makes them: the header takes no other.
_SERVERS_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_BACKUP = "v1/backup"


@dataclass(frozen=True, slots=True)
class Remote:
    """A backup as the server has it."""

    version: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What HEAD tells: the version, and the size in bytes."""

    version: int
    size: int | None


def quiet(done: int, total: int | None) -> None:
    """Take progress and show nothing."""


class Server:
    """A server and a session that carries the bearer token. Raises subclasses of `BackupError`."""

    def __init__(self, session: "ClientSession", sleep: Sleep = asyncio.sleep) -> None:
        self._session = session
        self._sleep = sleep

    async def look(self) -> Facts | None:
        """Return what the server has, or None for no backup."""

        async def read(answer: "ClientResponse") -> Facts:
            return Facts(_version(answer), answer.content_length)

        return await self._absent_is_none(self._call("HEAD", _BACKUP, read))

    async def fetch(self, progress: Progress = quiet) -> Remote | None:
        """Return the backup, or None when there is none."""

        async def read(answer: "ClientResponse") -> Remote:
            version = _version(answer)
            return Remote(version, await _body(answer, LARGEST_BLOB, progress))

        return await self._absent_is_none(self._call("GET", _BACKUP, read))

    async def store(
        self, blob: bytes, over: int | None, keeps: str = "", progress: Progress = quiet
    ) -> int:
        """
        Store *blob* over version *over* (None: there is none yet); return its version.

        *keeps* is the attachment it refers to: the server keeps that as long as the backup.

        Raises `Conflict` when the server has another version, which may be this very blob after an
        answer was lost: compare what it has.
        """

        async def read(answer: "ClientResponse") -> int:
            return _version(answer)

        async def unchanged() -> None:
            # A server may refuse before it has read the body, and the refusal be lost.
            facts = await self.look()
            version = facts.version if facts else None
            if version != over:
                raise Conflict("The backup changed meanwhile.", version)

        headers = {"Content-Type": "application/octet-stream", **_if_match(over)}
        if _SERVERS_ID.fullmatch(keeps):
            headers["X-Backup-Attachments"] = keeps
        return await self._call("POST", _BACKUP, read, headers, blob, progress, unchanged)

    async def remove(self, version: int) -> None:
        """Delete the backup at *version*; raises `Conflict` and `Refused` (404)."""
        await self._call("DELETE", _BACKUP, _nothing, _if_match(version))

    async def put_attachment(self, blob: bytes, progress: Progress = quiet) -> str:
        """Store an opaque attachment and return its id."""

        async def read(answer: "ClientResponse") -> str:
            told = await read_object(answer)
            if not isinstance(told.get("id"), str):
                raise BackupError("The server stored the attachment and gave it no id.")
            return str(told["id"])

        headers = {"Content-Type": "application/octet-stream"}
        return await self._call("POST", "v1/attachments", read, headers, blob, progress)

    async def get_attachment(self, name: str, progress: Progress = quiet) -> bytes | None:
        """Return an attachment, or None when the server has it no more."""

        async def read(answer: "ClientResponse") -> bytes:
            return await _body(answer, LARGEST_ATTACHMENT, progress)

        return await self._absent_is_none(self._call("GET", f"v1/attachments/{name}", read))

    async def _absent_is_none(self, call: Awaitable[_T]) -> _T | None:
        try:
            return await call
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def _call(
        self,
        method: str,
        path: str,
        read: Callable[["ClientResponse"], Awaitable[_T]],
        headers: dict[str, str] | None = None,
        blob: bytes | None = None,
        progress: Progress = quiet,
        before_again: Callable[[], Awaitable[None]] | None = None,
    ) -> _T:
        """Make a request until it is answered; *before_again* may end the tries by raising."""
        import aiohttp

        pause, reason = _FIRST_PAUSE, ""
        for attempt in range(_TRIES):
            if attempt:
                await self._sleep(pause)
                if before_again is not None:
                    await before_again()
            # The doubling is for servers that name no time.
            pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
            body = None if blob is None else _blocks(blob, progress)
            sized = {} if blob is None else {"Content-Length": str(len(blob))}
            try:
                async with self._session.request(
                    method,
                    path,
                    headers={**(headers or {}), **sized},
                    data=body,
                    # A redirect would carry the token elsewhere.
                    allow_redirects=False,
                ) as answer:
                    if answer.status in _TRY_AGAIN:
                        reason = f"HTTP {answer.status}"
                        pause = _retry_after(answer) or pause
                        continue
                    if not answer.ok or answer.status >= 300:
                        raise await _refusal(answer)
                    return await read(answer)
            except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch):
                raise Unreachable("The server shows a certificate that is not trusted.") from None
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = type(error).__name__
        raise Unreachable(f"The server did not answer after {_TRIES} tries ({reason}).")


async def _blocks(blob: bytes, progress: Progress) -> AsyncIterator[bytes]:
    for start in range(0, len(blob), _BLOCK):
        block = blob[start : start + _BLOCK]
        yield block
        progress(start + len(block), len(blob))


async def _body(answer: "ClientResponse", largest: int, progress: Progress) -> bytes:
    total = answer.content_length
    if total is not None and total > largest:
        raise TooLarge("The server sends more than it may hold.")
    parts = bytearray()
    async for block in answer.content.iter_chunked(_BLOCK):
        parts += block
        if len(parts) > largest:
            raise TooLarge("The server sends more than it may hold.")
        progress(len(parts), total)
    return bytes(parts)


async def _nothing(answer: "ClientResponse") -> None:
    """Read an answer that says no more than its status."""


async def _refusal(answer: "ClientResponse") -> Refused:
    said = sentence(answer.status, await read_problem(answer))
    if answer.status == 409:
        return Conflict(said, _etag(answer))
    return Refused(said, answer.status)


def _if_match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}


def _etag(answer: "ClientResponse") -> int | None:
    found = _ETAG.fullmatch(answer.headers.get("ETag", "").strip())
    return int(found[1]) if found else None


def _version(answer: "ClientResponse") -> int:
    version = _etag(answer)
    if version is None:
        raise BackupError("The server answers without a version (ETag); is it an Edgekeep?")
    return version


def _retry_after(answer: "ClientResponse") -> float | None:
    text = answer.headers.get("Retry-After", "").strip()
    # The other form, a date, needs both clocks to agree.
    return min(float(text), _LONGEST_PAUSE) if re.fullmatch(r"\d{1,9}", text) else None
