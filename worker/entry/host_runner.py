"""
The aiohttp server around the application, with its own words for what is not HTTP.

aiohttp answers a malformed request with the bytes that it could not read, and logs them with a
trace: a token in a broken header, or profiles behind a Content-Length that lies, would stand in the
log. Here such a request gets a problem document and one line without a word of it.
"""

from typing import Any, ClassVar

from aiohttp import web
from aiohttp.http import RawRequestMessage
from yarl import URL

from worker.entry.library_log import LibraryLog
from worker.entry.whole_response import SERVER
from worker.env import Env
from worker.errors import BadRequest, InternalError, Problem
from worker.wire.problem_document import PROBLEM_JSON, encode
from worker.wire.safe_headers import safe_headers

_NOWHERE = URL("/*")


class _Protocol(web.RequestHandler):
    """One connection; each server has a class of its own that knows its environment."""

    __slots__ = ()
    env: ClassVar[Env]

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never reached the application, and close; raises ConnectionError if late."""
        env = self.env
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
        answer = web.Response(
            body=encode(problem, request_id),
            status=problem.status,
            headers={
                **safe_headers(env.settings),
                "Server": SERVER,
                "Content-Type": PROBLEM_JSON,
                "Cache-Control": "no-store",
                "X-Request-Id": request_id,
            },
        )
        answer.force_close()
        return answer


class _Server(web.Server):
    """Makes a handler of class *protocol* for each connection."""

    protocol: type[_Protocol]

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        handler = super().__call__()
        handler.__class__ = self.protocol
        return handler


class HostRunner(web.AppRunner):
    """`web.AppRunner` whose connections are `_Protocol`."""

    __slots__ = ("_env", "_libraries")

    def __init__(self, app: web.Application, env: Env, **options: Any) -> None:
        super().__init__(
            app, access_log=None, auto_decompress=False, handle_signals=False, **options
        )
        self._env = env
        self._libraries = LibraryLog(env.log)

    async def setup(self) -> None:
        """Get ready to serve; from here on libraries log through us."""
        self._libraries.attach()
        await super().setup()

    async def cleanup(self) -> None:
        """Stop serving."""
        await super().cleanup()
        self._libraries.detach()

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        assert isinstance(server, _Server)
        server.protocol = type("_HostProtocol", (_Protocol,), {"__slots__": (), "env": self._env})
        make = server.request_factory

        def make_request(message: RawRequestMessage, *more: Any) -> web.BaseRequest:
            return make(message if message.path[0] == "/" else _placed(message), *more)

        server.request_factory = make_request
        return server


def _placed(message: RawRequestMessage) -> RawRequestMessage:
    """
    Give a request whose target has no path one that nothing answers to.

    `OPTIONS *`, CONNECT and the like would otherwise be answered by aiohttp, past log and limits.
    """
    url = message.url
    if url.absolute and message.path.count("/") > 2 and message.method != "CONNECT":
        return message
    return message._replace(url=_NOWHERE)
