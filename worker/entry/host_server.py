"""
The aiohttp server around the Worker: every request ends in the portable pipeline.

But for what only a host has, and only in development: the console and the door of crons. Their
pages are an aiohttp application of their own; all other paths are matched by the Worker, as at the
edge, in their exact spelling.

aiohttp answers a malformed request with the bytes that it could not read, and logs them with a
trace: a token in a broken header, or profiles behind a Content-Length that lies, would stand in the
log. Here such a request gets a problem document and one line without a word of it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http import HttpVersion11, WebSocketReader

from worker.app import Worker
from worker.entry.client_address import TrustedProxies
from worker.entry.console.frame import ROOT, Console
from worker.entry.console.guard import refusal as closed
from worker.entry.host_connections import Line, Switchboard, file_limit
from worker.entry.host_http import HostRequest, SafeHeaders, send, unasked
from worker.entry.library_log import LibraryLog
from worker.entry.masked_frames import MaskedFrames
from worker.entry.own_names import OwnNames
from worker.env import Env
from worker.errors import BadRequest, ExpectationFailed, HostNotAllowed, InternalError, Problem
from worker.web import Response, refusal
from worker.wire.safe_headers import add_safe_headers

_CRON_DOOR: Final = "/cdn-cgi/handler/scheduled"

_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(
    worker: Worker,
    env: Env,
    console: Console,
    names: OwnNames,
    *,
    tls: bool = False,
    grace: float = 10,
) -> AsyncIterator[web.BaseRunner]:
    """
    Yield a runner whose sites lead to *worker*, in development to *console* as well.

    In development it answers to its own *names* alone. *tls*: it is served over TLS under a real
    name. On leaving, what is in flight has *grace* seconds to end. Libraries log through us
    meanwhile.
    """
    safe = SafeHeaders(env.settings, tls=tls)
    pages = web.AppRunner(_pages(env, console, safe))
    await pages.setup()
    door = _door(worker, env, names, safe, pages)
    runner = web.ServerRunner(_Server(door, pages, env, safe), shutdown_timeout=grace)
    await runner.setup()
    libraries = LibraryLog(env.log)
    libraries.attach()
    try:
        yield runner
    finally:
        # First the pages: who watches the log would otherwise be waited for.
        await pages.cleanup()
        await runner.cleanup()
        libraries.detach()


def _door(
    worker: Worker, env: Env, names: OwnNames, safe: SafeHeaders, pages: web.AppRunner
) -> _Answer:
    """Return what answers every request."""
    proxies = TrustedProxies.of(env.settings.trusted_proxies)
    still = env.settings.body_seconds
    server, router = pages.server, pages.app.router
    assert server is not None
    production = env.settings.production
    places = () if production else (ROOT, _CRON_DOOR)

    async def answer(raw: web.Request) -> web.StreamResponse:
        request = HostRequest(raw, proxies, still)
        if request.path.startswith(places):
            found = await router.resolve(raw)
            if found.http_exception is None:
                return await server.request_handler(raw)
        if not (production or names.has(raw.headers.getall("Host", ()))):
            return await send(raw, _foreign(env), safe)
        if "Expect" in raw.headers and not await _goes_on(raw):
            return await send(raw, _unexpected(env), safe)
        response = await worker.handle(request, env)
        # A WebSocket lives on in `send`, for days; what it was asked with need not.
        del request
        return await send(raw, response, safe)

    return answer


def _foreign(env: Env) -> Response:
    """Refuse a request for another name, and say so in the log: the name is a stranger's word."""
    request_id = env.request_id()
    env.log.event("warning", "foreign_host", status=HostNotAllowed.status, request_id=request_id)
    text = "In development a host answers to names of this machine, PUBLIC_URL and ALLOWED_HOSTS."
    answer = refusal(HostNotAllowed(text), request_id)
    answer.headers["X-Request-Id"] = request_id
    return answer


def _unexpected(env: Env) -> Response:
    """Refuse a request that expects what nobody here can do."""
    request_id = env.request_id()
    env.log.event("info", "expectation_failed", status=417, request_id=request_id)
    answer = refusal(ExpectationFailed("The only Expect here is 100-continue."), request_id)
    answer.headers["X-Request-Id"] = request_id
    return answer


async def _goes_on(raw: web.Request) -> bool:
    """Let a client go on that waits with its body; False: it expects more (RFC 9110 §10.1.1)."""
    if raw.version < HttpVersion11:
        return True
    if raw.headers["Expect"].lower() != "100-continue":
        return False
    await raw.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The answer itself has not begun.
    raw.writer.output_size = 0
    await raw.writer.drain()
    return True


def _pages(env: Env, console: Console, safe: SafeHeaders) -> web.Application:
    """Return the application of what only a host in development has."""
    app = web.Application()

    async def protect(_raw: web.Request, answer: web.StreamResponse) -> None:
        # aiohttp has put its own name there.
        answer.headers["Server"] = safe["Server"]
        add_safe_headers(answer.headers, safe)

    app.on_response_prepare.append(protect)
    console.routes(app)
    app.router.add_route("GET", _CRON_DOOR, _cron_door(console, env))
    return app


def _cron_door(console: Console, env: Env) -> _Answer:
    """
    Cloudflare's local trigger (bindings.md E): ?cron=… runs one schedule now.

    For programs of this machine, without the key of this run: it reads nothing and runs only what
    runs by itself every day.
    """

    async def door(raw: web.Request) -> web.StreamResponse:
        is_page = "Origin" in raw.headers or raw.headers.get("Sec-Fetch-Site", "none") != "none"
        if is_page or closed(raw, console.names):
            return web.Response(status=403, text="local only\n")
        done = await console.crons.scheduled(raw.query.get("cron", ""), env)
        return web.Response(status=200 if done else 500, text="ok\n" if done else "failed\n")

    return door


class _Server(web.Server):
    """Makes a `_Connection` for each client, and tells its line of each request."""

    def __init__(self, answer: _Answer, pages: web.AppRunner, env: Env, safe: SafeHeaders) -> None:
        assert pages.server is not None

        async def noted(raw: web.Request) -> web.StreamResponse:
            connection = raw.protocol
            assert isinstance(connection, _Connection)
            line = connection.line
            assert line is not None
            line.began(raw)
            try:
                return await answer(raw)
            finally:
                line.ended()

        # Requests are made as those of the pages, so that they can be handed on there.
        super().__init__(
            noted,  # type: ignore[arg-type]
            request_factory=pages.server.request_factory,
        )
        self.env = env
        self.safe = safe
        self.switchboard = Switchboard(env, file_limit())

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,
            auto_decompress=False,
        )


class _Connection(web.RequestHandler):
    """One connection, with our own words for what is not HTTP."""

    __slots__ = ("_server", "heard", "line")

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self.heard = 0
        """Bytes that came."""
        self.line: Line | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part, or tell why not and leave."""
        super().connection_made(transport)
        # uvloop's are such without saying so.
        wire = cast(asyncio.Transport, transport)
        server, peer = self._server, wire.get_extra_info("peername")
        self.line = Line(server.switchboard, wire)
        refused = server.switchboard.connect(self.line, peer[0] if peer else "")
        if refused is not None:
            wire.write(unasked(refused, server.env.request_id(), server.safe))
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count no more."""
        if self.line is not None:
            self.line.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self.heard += len(data)
        super().data_received(data)

    def set_parser(
        self,
        parser: WebSocketReader,
        data_received_cb: Callable[[], None] | None = None,
    ) -> None:
        """Let *parser* read from now on what is a WebSocket; aiohttp takes unmasked frames too."""
        masked = cast(WebSocketReader, MaskedFrames(parser))
        super().set_parser(masked, data_received_cb)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never reached the Worker, and close; raises ConnectionError if late."""
        env = self._server.env
        if isinstance(exc, Problem):
            # Raised while an answer was under way: the sender of a body that is echoed has left.
            raise ConnectionError("the sender has gone")
        request_id = env.request_id()
        problem: Problem = InternalError()
        if status < 500:
            problem = BadRequest("The request is not valid HTTP.")
            env.log.event("info", "not_http", status=400, request_id=request_id)
        elif exc is not None:
            env.log.error("unexpected", exc, request_id=request_id)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        told = refusal(problem, request_id)
        answer = web.Response(body=told.body, status=told.status, headers=self._server.safe)
        answer.headers.update(told.headers)
        answer.headers["X-Request-Id"] = request_id
        answer.force_close()
        return answer
