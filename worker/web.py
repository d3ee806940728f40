"""
Requests and responses as the core sees them, whatever carries them.

A host subclasses `Request` to read lazily from its own object; the edge entry fills one from a
JavaScript Request. Header mappings are case-insensitive on `get` and `in`.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from worker.errors import BadRequest, PayloadTooLarge, Problem
from worker.wire.problem_document import PROBLEM_JSON, encode

JSON = "application/json; charset=utf-8"
# Cloudflare's limit of one message (facts/bindings.md D6).
WEB_SOCKET_BYTES = 32 * 1024 * 1024


class HeaderMap(Protocol):
    """What the core needs of request headers: case-insensitive look-up of one value."""

    def get(self, name: str, /) -> str | None:
        """Return the value of *name* in any case, or None."""


class Headers(dict[str, str]):
    """Headers with lower-case names; looks up in any case, joins repeated fields with a comma."""

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        super().__init__()
        for name, value in (fields or {}).items():
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Add a field line; a repeated name is joined as RFC 9110 §5.3 allows."""
        key = name.lower()
        self[key] = f"{dict.__getitem__(self, key)}, {value}" if key in self else value

    def get(self, name: str, default: Any = None, /) -> Any:
        """Return the value of *name* in any case, or *default*."""
        return super().get(name.lower(), default)


class Request:
    """
    One HTTP request.

    `path` is the raw path (percent-encoding kept), `query` holds the decoded parameters (the last
    one of a repeated name wins), `params` the decoded path parameters once a route has matched.
    `request_id` is given by the pipeline, and `attributes`: further members of its log line.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_query",
        "attributes",
        "method",
        "params",
        "path",
        "query_string",
        "request_id",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query_string: str = "",
        headers: HeaderMap | None = None,
        body: AsyncIterable[bytes] | bytes = b"",
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.params: Mapping[str, str] = {}
        self.request_id = ""
        self.attributes: dict[str, str | None] = {}
        self._headers: HeaderMap = Headers() if headers is None else headers
        self._query: dict[str, str] | None = None
        self._body = body

    @property
    def headers(self) -> HeaderMap:
        """The request headers."""
        return self._headers

    @property
    def query(self) -> Mapping[str, str]:
        """The decoded query parameters; raises `BadRequest` when they are not UTF-8."""
        if self._query is None:
            self._query = _parse_query(self.query_string)
        return self._query

    @property
    def remote(self) -> str:
        """The peer's address, or "" where the platform does not tell."""
        return self._headers.get("cf-connecting-ip") or ""

    @property
    def content_length(self) -> int | None:
        """The declared body length in bytes, or None for a chunked body."""
        declared = self.headers.get("content-length")
        return int(declared) if declared is not None and declared.isdecimal() else None

    def field(self, name: str) -> str | None:
        """Return the value of *name*; of a repeated one all, joined (RFC 9110 §5.3)."""
        return self.headers.get(name)

    def stream(self) -> AsyncIterable[bytes]:
        """
        Return the body's chunks as they arrive; to be consumed once.

        Iterating raises `IncompleteBody` when the peer goes away before the end.
        """
        return _once(self._body) if isinstance(self._body, bytes) else self._body

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raises `PayloadTooLarge` as soon as it passes *limit* bytes."""
        if (self.content_length or 0) > limit:
            raise PayloadTooLarge(f"The body may have at most {limit} bytes.")
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > limit:
                raise PayloadTooLarge(f"The body may have at most {limit} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)

    async def json(self, limit: int) -> Any:
        """Return the body parsed as JSON; raises `BadRequest` or `PayloadTooLarge`."""
        return parse_json(await self.read(limit))

    def forward(self, path: str, query: Mapping[str, str]) -> "Request":
        """Return this request readdressed to an actor: same headers and body."""
        return Request(self.method, path, urlencode(query), self.headers, self.stream())


class Response:
    """
    One HTTP response: `body` is bytes, an async iterator of bytes, or None.

    `web_socket` is the client end of a socket pair when an upgrade was accepted (status 101);
    a host ends it with 1009 when a message is longer than `max_message_bytes`.
    `cookies` are Set-Cookie fields, one each: they cannot be joined as other fields can.
    """

    __slots__ = ("body", "cookies", "headers", "max_message_bytes", "status", "web_socket")

    def __init__(
        self,
        body: bytes | AsyncIterator[bytes] | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        web_socket: Any = None,
        cookies: tuple[str, ...] = (),
    ) -> None:
        self.body = body
        self.cookies = cookies
        self.status = status
        self.headers = dict(headers or ())
        self.web_socket = web_socket
        self.max_message_bytes = WEB_SOCKET_BYTES

    @classmethod
    def json(
        cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> "Response":
        """Answer with *value* as compact UTF-8 JSON."""
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return cls(text.encode(), status, {"Content-Type": JSON, **(headers or {})})

    @classmethod
    def websocket(
        cls, client_end: Any, *, protocol: str = "", max_message_bytes: int = 0
    ) -> "Response":
        """Accept an upgrade (to *protocol*): the host connects the network to *client_end*."""
        headers = {"Sec-WebSocket-Protocol": protocol} if protocol else None
        response = cls(None, 101, headers, web_socket=client_end)
        response.max_message_bytes = max_message_bytes or WEB_SOCKET_BYTES
        return response


def _parse_query(text: str) -> dict[str, str]:
    if "%" in text or "+" in text:
        try:
            return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
        except ValueError:
            raise BadRequest("The query string is not valid UTF-8.") from None
    # Nothing is encoded, as in most requests: cutting is ten times cheaper than parsing.
    pairs = (part.partition("=") for part in text.split("&") if part)
    return {name: value for name, _, value in pairs}


def parse_json(data: bytes) -> Any:
    """
    Return *data* parsed as JSON; raises `BadRequest`.

    Also for a member that stands twice: who reads the first one would have read something else.
    """
    try:
        return json.loads(data, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON.") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member stands twice")
    return members


def refusal(problem: Problem, request_id: str) -> Response:
    """Render *problem* as a response."""
    headers = {**problem.headers, "Content-Type": PROBLEM_JSON, "Cache-Control": "no-store"}
    return Response(encode(problem, request_id), problem.status, headers)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body
