"""aiohttp requests in, core requests out, and back: bodies both ways, headers, compression."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import ClientError, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from worker.entry.client_address import TrustedProxies
from worker.entry.host_sockets import connect
from worker.errors import IncompleteBody, Problem, RequestTimeout
from worker.settings import Settings
from worker.web import HeaderMap, Request, Response, refusal
from worker.wire.safe_headers import safe_headers

# Below this a compressed answer saves less than a network packet.
_COMPRESS_BYTES = 1024
_NO_BODY = (204, 304)
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_COMPRESSIBLE = ("application/json", "application/x-ndjson", "application/problem+json", "text/")
# Of a body's bytes that have arrived at most so many are handed on at once: a slow store holds
# them in memory for each of its uploads.
_READ_BYTES = 256 * 1024
# Bytes a second, over all: a body that is slower on purpose would never stand still.
_SLOWEST = 500


class HostRequest(Request):
    """Reads lazily from an aiohttp request."""

    __slots__ = ("_proxies", "_raw", "_still")

    def __init__(self, raw: web.BaseRequest, proxies: TrustedProxies | None, still: float) -> None:
        target = raw.raw_path
        if target.startswith("/"):
            self.path, _, self.query_string = target.partition("?")
        else:
            # Absolute form (RFC 9112 §3.2.2) or `*`.
            self.path, self.query_string = raw.rel_url.raw_path, raw.rel_url.raw_query_string
        self.method = raw.method
        self.params = {}
        self.request_id = ""
        self.attributes = {}
        self._query = None
        self._raw = raw
        self._proxies = proxies
        self._still = still

    @property
    def headers(self) -> HeaderMap:
        """The request headers."""
        return self._raw.headers

    @property
    def remote(self) -> str:
        """The client's address: the peer's, or what a trusted proxy says."""
        peer = self._raw.remote or ""
        if self._proxies is None:
            return peer
        return self._proxies.client(peer, self._raw.headers.getall("X-Forwarded-For", ()))

    def field(self, name: str) -> str | None:
        """Return the value of *name*, of a repeated one all; `headers` knows the first alone."""
        found = self._raw.headers.getall(name, ())
        return ", ".join(found) if found else None

    def stream(self) -> AsyncIterator[bytes]:
        """Return the body's chunks as they arrive."""
        return _chunks(self._raw.content, self._still)


async def _chunks(body: StreamReader, still: float) -> AsyncIterator[bytes]:
    """Yield what arrives; what counts against the sender is only the time that we wait for it."""
    now = asyncio.get_running_loop().time
    waited, size = 0.0, 0
    try:
        while True:
            began = now()
            async with asyncio.timeout(min(still, still + size / _SLOWEST - waited)):
                chunk = await body.read(_READ_BYTES)
            if not chunk:
                return
            waited += now() - began
            size += len(chunk)
            yield chunk
    except TimeoutError:
        # Nor is the rest waited for once the answer is out.
        body.feed_eof()
        raise RequestTimeout("The body stood still.", headers={"Connection": "close"}) from None
    except (ClientError, HttpProcessingError, OSError):
        raise IncompleteBody("The connection ended before the body did.") from None


class SafeHeaders(dict[str, str]):
    """What every answer of this host carries, unless it sets the same itself."""

    def __init__(self, settings: Settings, *, tls: bool) -> None:
        # Not what it runs on: a version tells which holes to try.
        super().__init__({"Server": "edgekeep", **safe_headers(settings, tls=tls)})
        self._all_lines = _lines(self)

    def lines_beside(self, fields: Mapping[str, str]) -> str:
        """Return the lines of those that are not in *fields*."""
        if self.keys().isdisjoint(fields):
            return self._all_lines
        return _lines({name: value for name, value in self.items() if name not in fields})


async def send(raw: web.BaseRequest, response: Response, safe: SafeHeaders) -> web.StreamResponse:
    """
    Answer *raw* with *response*, whose headers go before the *safe* ones of this host.

    Raises ValueError before anything has gone out when a handler let something into a header that
    would end it: `host_server` makes a 500 of that.
    """
    text = "".join((*response.headers.values(), *response.cookies))
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError("a header holds a line break")
    if response.web_socket is not None:
        return await connect(raw, response, safe)
    body = b"" if response.body is None else response.body
    if not isinstance(body, bytes):
        return await _stream(raw, response, safe, body)
    if len(body) < _COMPRESS_BYTES or not _compresses(raw, response):
        stays = response.headers.get("Connection") != "close"
        return _Whole(raw, _head(raw, response, safe, len(body)), body, stays=stays)
    answer = web.Response(body=body, status=response.status, headers=_fields(response, safe))
    answer.enable_compression(web.ContentCoding.gzip)
    return answer


class _Whole(web.StreamResponse):
    """
    An answer whose bytes are all there: head and body leave in one write.

    `web.Response` prepares for chunks, cookies, payloads and signals as well; for a small answer
    that costs as much as all that the Worker does (decision 16).
    """

    def __init__(self, raw: web.BaseRequest, head: bytes, body: bytes, *, stays: bool) -> None:
        super().__init__()
        self._raw = raw
        self._stays = stays
        self._bytes = head if raw.method == "HEAD" else head + body

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open."""
        return self._stays and self._raw.keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """There is nothing to prepare."""
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Write everything; raises ConnectionResetError when the reader has gone."""
        await self._raw.writer.write(self._bytes)


def _head(raw: web.BaseRequest, response: Response, safe: SafeHeaders, length: int) -> bytes:
    status, fields = response.status, response.headers
    if not raw.keep_alive:
        fields["Connection"] = "close"
    elif raw.version == HttpVersion10:
        fields["Connection"] = "keep-alive"
    has_length = status in _NO_BODY or "Content-Length" in fields
    size = "" if has_length else f"Content-Length: {length}\r\n"
    cookies = "".join([f"Set-Cookie: {cookie}\r\n" for cookie in response.cookies])
    return (
        f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n{safe.lines_beside(fields)}"
        f"{_lines(fields)}Date: {_date(int(time.time()))}\r\n{size}{cookies}\r\n"
    ).encode()


def unasked(problem: Problem, request_id: str, safe: SafeHeaders) -> bytes:
    """Return an answer to a connection that is closed before it has asked anything."""
    told = refusal(problem, request_id)
    assert isinstance(told.body, bytes)
    fields = {
        **told.headers,
        "X-Request-Id": request_id,
        "Date": _date(int(time.time())),
        "Content-Length": str(len(told.body)),
        "Connection": "close",
    }
    start = f"HTTP/1.1 {told.status} {_PHRASES[told.status]}\r\n"
    return f"{start}{safe.lines_beside(fields)}{_lines(fields)}\r\n".encode() + told.body


def _lines(fields: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in fields.items()])


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _fields(response: Response, safe: SafeHeaders) -> CIMultiDict[str]:
    fields = CIMultiDict(safe)
    fields.update(response.headers)
    for cookie in response.cookies:
        fields.add("Set-Cookie", cookie)
    return fields


async def _stream(
    raw: web.BaseRequest, response: Response, safe: SafeHeaders, body: AsyncIterator[bytes]
) -> web.StreamResponse:
    compress = _compresses(raw, response)
    answer = web.StreamResponse(status=response.status, headers=_fields(response, safe))
    if compress:
        answer.enable_compression(web.ContentCoding.gzip)
    async with aclosing(body) as chunks:  # type: ignore[type-var]
        await answer.prepare(raw)
        if raw.method != "HEAD":
            try:
                async for chunk in chunks:
                    await answer.write(chunk)
            except (ClientError, ConnectionError):
                # The reader went away; there is nobody left to tell.
                return answer
    await answer.write_eof()
    return answer


def _compresses(raw: web.BaseRequest, response: Response) -> bool:
    """Whether to compress; an answer that might be is marked with Vary for caches."""
    headers = response.headers
    if not headers.get("Content-Type", "").startswith(_COMPRESSIBLE):
        return False
    vary = headers.get("Vary")
    headers["Vary"] = f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"
    accepted = raw.headers.get("Accept-Encoding")
    return accepted is not None and _takes_gzip(accepted)


def _takes_gzip(accept: str) -> bool:
    """Read Accept-Encoding (RFC 9110 §12.5.3): gzip is named, or `*` is, and not with q=0."""
    wishes: dict[str, bool] = {}
    for part in accept.lower().split(","):
        coding, _, weight = part.partition(";")
        wishes[coding.strip()] = re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return wishes.get("gzip", wishes.get("*", False))
