"""aiohttp requests in, core requests out, and back: bodies both ways, compression."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from worker.entry.client_address import TrustedProxies
from worker.entry.host_sockets import connect
from worker.entry.whole_response import SERVER, Tail, WholeResponse, check_fields, suits
from worker.errors import IncompleteBody
from worker.web import HeaderMap, Request, Response
from worker.wire.safe_headers import add_safe_headers

# Below this a compressed answer saves less than a network packet.
_COMPRESS_BYTES = 1024
_COMPRESSIBLE = ("application/json", "application/x-ndjson", "application/problem+json", "text/")
_VARY = "Accept-Encoding"
# Of a body's bytes that have arrived at most so many are handed on at once: a slow store holds
# them in memory for each of its uploads.
_READ_BYTES = 256 * 1024


class HostRequest(Request):
    """Reads lazily from an aiohttp request."""

    __slots__ = ("_proxies", "_raw")

    def __init__(self, raw: web.Request, proxies: TrustedProxies | None = None) -> None:
        target = raw.raw_path
        if target.startswith("/"):
            self.path, _, self.query_string = target.partition("?")
        else:
            # Absolute form (RFC 9112 §3.2.2) or `*`.
            self.path, self.query_string = raw.rel_url.raw_path, raw.rel_url.raw_query_string
        self.method = raw.method
        self.params = {}
        self.request_id = ""
        self.attributes = ""
        self._query = None
        self._raw = raw
        self._proxies = proxies

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
        return _chunks(self._raw)


async def _chunks(raw: web.Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in raw.content.iter_chunked(_READ_BYTES):
            yield chunk
    except (ClientError, HttpProcessingError, OSError):
        raise IncompleteBody("The connection ended before the body did.") from None


class Sender:
    """Sends answers, each with the safe headers of this host."""

    __slots__ = ("_own", "_safe", "_tail")

    def __init__(self, safe: Mapping[str, str]) -> None:
        self._safe = safe
        self._own = frozenset(safe)
        self._tail = Tail(safe)

    async def send(self, raw: web.Request, response: Response) -> web.StreamResponse:
        """
        Send *response* as the answer to *raw*.

        Raises ValueError before anything has gone out when a handler let something into a header
        that would end it: `host_runner` makes a 500 of that.
        """
        whole = self._whole(raw, response)
        if whole is not None:
            return whole
        if response.web_socket is not None:
            return await connect(raw, response)
        assert response.body is not None
        assert not isinstance(response.body, bytes)
        return await _stream(raw, response, response.body)

    def _whole(self, raw: web.Request, response: Response) -> web.StreamResponse | None:
        """Return the answer when its body is all there; raises ValueError for a broken header."""
        body = b"" if response.body is None else response.body
        if not isinstance(body, bytes) or response.web_socket is not None:
            check_fields(response.headers)
            return None
        compress = len(body) >= _COMPRESS_BYTES and _compresses(raw, response)
        if (
            not compress
            and not response.cookies
            and self._own.isdisjoint(response.headers)
            and suits(raw, response.status, body)
        ):
            return WholeResponse(response.status, response.headers, body, self._tail.now())
        check_fields(response.headers)
        answer = web.Response(body=body, status=response.status, headers=_fields(response))
        if compress:
            answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async def protect(self, _raw: web.Request, answer: web.StreamResponse) -> None:
        """Add what every answer carries to one that aiohttp writes (a signal of the app)."""
        answer.headers["Server"] = SERVER
        add_safe_headers(answer.headers, self._safe)


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
