"""A server that does what other people's servers do, and what each request to it ends in."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestServer

_LARGE = 300_000


class Case(NamedTuple):
    """A request, the members of its `Outgoing`, and how it ends: a reason or (status, body)."""

    path: str
    members: dict[str, Any]
    outcome: tuple[int, str] | str


CASES = [
    Case("/echo", {"method": "POST", "body": "a\x00b"}, (200, "POST x-one=1 a\x00b")),
    Case("/status/404", {}, (404, "404")),
    Case("/large", {"max_bytes": _LARGE}, (200, "x" * _LARGE)),
    Case("/large", {"max_bytes": _LARGE - 1}, "too large"),
    Case("/endless", {"max_bytes": 1_000_000}, "too large"),
    Case("/endless", {"max_bytes": None}, (200, "")),
    Case("/drip", {"seconds": 0.5}, "timeout"),
    Case("/silent", {"seconds": 0.5}, "timeout"),
    Case("/to?/status/200", {}, (302, "302")),
    Case("/to?/status/200", {"redirects": 1}, (200, "200")),
    Case("/to?/to?/status/200", {"redirects": 1}, "redirect"),
    Case("/to?https://10.0.0.1/", {"redirects": 1}, "address"),
    Case("/to?http://169.254.169.254/latest", {"redirects": 1}, "address"),
]
HEADERS = {"X-One": "1"}


@contextlib.asynccontextmanager
async def fetch_server() -> AsyncIterator[str]:
    """Run the server; yields its address without a path."""
    app = web.Application()
    app.router.add_route("*", "/echo", _echo)
    app.router.add_get("/status/{status}", _status)
    app.router.add_get("/large", _large)
    app.router.add_get("/endless", _endless)
    app.router.add_get("/drip", _drip)
    app.router.add_get("/silent", _silent)
    app.router.add_get("/packed", _packed)
    app.router.add_get("/to", _to)
    # Streams that nobody ends are cut.
    async with TestServer(app, shutdown_timeout=0.1) as server:
        yield f"http://127.0.0.1:{server.port}"


async def _echo(request: web.Request) -> web.Response:
    body = (await request.read()).decode()
    return web.Response(text=f"{request.method} x-one={request.headers['X-One']} {body}")


async def _status(request: web.Request) -> web.Response:
    status = request.match_info["status"]
    return web.Response(status=int(status), text=status)


async def _large(_request: web.Request) -> web.Response:
    return web.Response(text="x" * _LARGE)


async def _endless(request: web.Request) -> web.StreamResponse:
    return await _stream(request, b"x" * 50_000, 0)


async def _drip(request: web.Request) -> web.StreamResponse:
    return await _stream(request, b".", 0.05)


async def _stream(request: web.Request, chunk: bytes, pause: float) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(chunk)
            await asyncio.sleep(pause)
    return response


async def _silent(_request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


async def _packed(_request: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(b"x"), headers={"Content-Encoding": "gzip"})


async def _to(request: web.Request) -> web.Response:
    return web.Response(status=302, text="302", headers={"Location": request.query_string})
