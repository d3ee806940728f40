"""aiohttp requests in, core requests out, and back: bodies both ways, compression."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from worker.entry.host_sockets import connect
from worker.entry.whole_response import WholeResponse, suits
from worker.errors import IncompleteBody
from worker.web import HeaderMap, Request, Response

# Below this a compressed answer saves less than a network packet.
_COMPRESS_BYTES = 1024
_COMPRESSIBLE = ("application/json", "application/x-ndjson", "application/problem+json", "text/")
_VARY = "Accept-Encoding"


class HostRequest(Request):
    """Reads lazily from an aiohttp request."""

    __slots__ = ("_raw",)

    def __init__(self, raw: web.Request) -> None:
        target = raw.raw_path
        if target.startswith("/"):
            self.path, _, self.query_string = target.partition("?")
        else:
            # Absolute form (RFC 9112 §3.2.2) or `*`.
            self.path, self.query_string = raw.rel_url.raw_path, raw.rel_url.raw_query_string
        self.method = raw.method
        self.params = {}
        self.request_id = ""
        self._query = None
        self._raw = raw

    @property
    def headers(self) -> HeaderMap:
        """The request headers."""
        return self._raw.headers

    @property
    def remote(self) -> str:
        """The peer's address."""
        return self._raw.remote or ""

    def stream(self) -> AsyncIterator[bytes]:
        """Return the body's chunks as they arrive."""
        return _chunks(self._raw)


async def _chunks(raw: web.Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in raw.content.iter_any():
            yield chunk
    except (ClientError, HttpProcessingError, OSError):
        raise IncompleteBody("The connection ended before the body did.") from None


async def send(raw: web.Request, response: Response) -> web.StreamResponse:
    """Send *response* as the answer to *raw*."""
    if response.web_socket is not None:
        return await connect(raw, response)
    response.headers["Server"] = "edgekeep"
    body = response.body
    if body is None or isinstance(body, bytes):
        compress = body is not None and len(body) >= _COMPRESS_BYTES and _compresses(raw, response)
        if not compress and not response.cookies and suits(raw, response.status, body or b""):
            return WholeResponse(response.status, response.headers, body or b"")
        answer = web.Response(body=body, status=response.status, headers=_fields(response))
        if compress:
            answer.enable_compression(web.ContentCoding.gzip)
        return answer
    return await _stream(raw, response, body)


async def _stream(
    raw: web.Request, response: Response, body: AsyncIterator[bytes]
) -> web.StreamResponse:
    compress = _compresses(raw, response)
    answer = web.StreamResponse(status=response.status, headers=_fields(response))
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


def _fields(response: Response) -> CIMultiDict[str]:
    fields = CIMultiDict(response.headers)
    for cookie in response.cookies:
        fields.add("Set-Cookie", cookie)
    return fields


def _compresses(raw: web.Request, response: Response) -> bool:
    """Whether to compress; an answer that might be is marked with Vary for caches."""
    headers = response.headers
    if not headers.get("Content-Type", "").startswith(_COMPRESSIBLE):
        return False
    headers["Vary"] = f"{headers['Vary']}, Accept-Encoding" if "Vary" in headers else _VARY
    accepted = raw.headers.get("Accept-Encoding")
    return accepted is not None and _takes_gzip(accepted)


def _takes_gzip(accept: str) -> bool:
    """Read Accept-Encoding (RFC 9110 §12.5.3): gzip is named, or `*` is, and not with q=0."""
    wishes: dict[str, bool] = {}
    for part in accept.lower().split(","):
        coding, _, weight = part.partition(";")
        wishes[coding.strip()] = re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return wishes.get("gzip", wishes.get("*", False))
