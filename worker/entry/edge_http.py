"""JavaScript requests in, core requests out, and back: bodies stream both ways."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from worker import interop
from worker.entry.edge_fetch import headers_from_js
from worker.errors import IncompleteBody
from worker.interop import JsError
from worker.web import HeaderMap, Request, Response

KeepAlive = Callable[[Awaitable[Any]], None]

# An address for requests between actors; no name server is ever asked for it.
_INSIDE = "https://actor.edgekeep.invalid"
# Statuses that may not have a body (RFC 9110 §15, Fetch "null body status").
_BODYLESS = (101, 204, 205, 304)


class JsHeaders:
    """Reads header fields from a JavaScript Headers object when they are asked for."""

    __slots__ = ("raw",)

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def get(self, name: str, /) -> str | None:
        """Return the value of *name* in any case, or None."""
        found = self.raw.get(name)
        return None if interop.is_none(found) else str(found)


class EdgeRequest(Request):
    """A request whose body is still in JavaScript: handed on to an actor, it never comes here."""

    __slots__ = ("js_body",)

    def __init__(
        self, method: str, path: str, query_string: str, headers: HeaderMap, js_body: Any
    ) -> None:
        super().__init__(method, path, query_string, headers)
        self.js_body = js_body

    def stream(self) -> AsyncIterator[bytes]:
        """Return the body's chunks as they arrive."""
        return _chunks(self.js_body)

    def forward(self, path: str, query: Mapping[str, str]) -> Request:
        """Return this request readdressed to an actor: same headers, same unread body."""
        return EdgeRequest(self.method, path, urlencode(query), self.headers, self.js_body)


class JsBody:
    """
    The body of a response that is still in JavaScript.

    Handed on, it never comes here: each chunk passes as it was sent. Iterated, it is read.
    """

    __slots__ = ("_chunks", "_js")

    def __init__(self, js: Any) -> None:
        self._js = js
        self._chunks: AsyncGenerator[bytes, None] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._chunks is None:
            self._chunks = interop.read_stream(self.hand_on())
        return await anext(self._chunks)

    def hand_on(self) -> Any:
        """Return the ReadableStream; it is the receiver's now. None when it was begun already."""
        js, self._js = self._js, None
        return js

    def cancel(self) -> None:
        """Give up what nobody began to read."""
        interop.StreamReader(self.hand_on()).cancel()


async def _chunks(js_body: Any) -> AsyncIterator[bytes]:
    try:
        async for chunk in interop.read_stream(js_body):
            yield chunk
    except JsError:
        raise IncompleteBody("The connection ended before the body did.") from None


def request_from_js(raw: Any) -> EdgeRequest:
    """Return the core's request for a JavaScript Request."""
    # The URL is absolute and normalised: scheme://host/path?query, without a fragment.
    target = str(raw.url).partition("://")[2].partition("#")[0]
    start = target.find("/")
    path, _, query_string = (target[start:] if start >= 0 else "/").partition("?")
    return EdgeRequest(str(raw.method), path, query_string, JsHeaders(raw.headers), raw.body)


def request_to_js(request: Request, keep_alive: KeepAlive) -> Any:
    """Return a JavaScript Request for the core's *request*, addressed to an actor."""
    url = f"{_INSIDE}{request.path}"
    if request.query_string:
        url += f"?{request.query_string}"
    options = interop.plain_object(method=request.method, headers=_js_headers(request.headers))
    if request.method not in ("GET", "HEAD"):
        if isinstance(request, EdgeRequest):
            body = request.js_body
        else:
            body = interop.stream_of(aiter(request.stream()), keep_alive)
        if not interop.is_none(body):
            options.body = body
    return interop.construct("Request", url, options)


def _js_headers(headers: HeaderMap) -> Any:
    if isinstance(headers, JsHeaders):
        return headers.raw
    made = interop.construct("Headers")
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            made.append(name, value)
    return made


def response_to_js(response: Response, keep_alive: KeepAlive, *, method: str = "GET") -> Any:
    """Return a JavaScript Response; *keep_alive* receives the work of telling a streamed body."""
    options = interop.plain_object(status=response.status)
    options.headers = headers = interop.construct("Headers")
    for name, value in response.headers.items():
        headers.set(name, value)
    for cookie in response.cookies:
        headers.append("Set-Cookie", cookie)
    if response.web_socket is not None:
        options.webSocket = getattr(response.web_socket, "js", response.web_socket)
    body: Any = None
    if method != "HEAD" and response.status not in _BODYLESS:
        body = _js_body(response, keep_alive)
    elif isinstance(response.body, JsBody):
        response.body.cancel()
    # An absent body is undefined here; the constructor takes that like null.
    return interop.construct("Response", body, options)


def _js_body(response: Response, keep_alive: KeepAlive) -> Any:
    body = response.body
    if body is None or isinstance(body, bytes):
        return None if body is None else interop.buffer(body)
    if isinstance(body, JsBody) and (js := body.hand_on()) is not None:
        return js
    # The platform takes a length from the stream alone, not from the header.
    length = response.headers.get("Content-Length")
    return interop.stream_of(body, keep_alive, int(length) if length else None)


def response_from_js(raw: Any) -> Response:
    """Return the core's response for what an actor answered; its body is not read."""
    web_socket = interop.member(raw, "webSocket")
    js_body = None if web_socket is not None else interop.member(raw, "body")
    body = None if js_body is None else JsBody(js_body)
    return Response(body, int(raw.status), headers_from_js(raw.headers), web_socket)
