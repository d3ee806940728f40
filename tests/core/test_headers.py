"""What every answer carries, and which pages of other origins may call."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.problems import assert_problem
from tests.support.raw import connect, head
from tests.support.relay import HANDSHAKE
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker.env import Env
from worker.identity.caller import ANYONE, Caller
from worker.route_table import Route
from worker.routes import ROUTES
from worker.web import Request, Response
from worker.wire.safe_headers import SAFE_HEADERS

_OURS = "https://app.example"
_DOOR = "/api/profiles/import"
_HSTS = "Strict-Transport-Security"


def carries(headers: Mapping[str, str], *but: str, server: bool = True) -> None:
    """
    Assert that *headers* hold every safe header, with its usual value unless named in *but*.

    *server*: a host says that it is one of ours.
    """
    for name, value in SAFE_HEADERS.items():
        assert name in headers, name
        if name not in but:
            assert headers[name] == value
    assert not server or headers["Server"] == "edgekeep"


async def _page(request: Request, caller: Caller, env: Env) -> Response:
    own = {"Content-Security-Policy": "default-src 'self'", "Content-Type": "text/html"}
    return Response(b"<p>", 200, own)


async def _big(request: Request, caller: Caller, env: Env) -> Response:
    return Response(b"x" * 70_000, 200, {"Content-Type": "text/plain"})


async def _streamed(request: Request, caller: Caller, env: Env) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    return Response(body(), 200, {"Content-Type": "text/plain"})


async def _cookie(request: Request, caller: Caller, env: Env) -> Response:
    return Response(b"x", 200, {}, cookies=("a=1", "b=2"))


async def _vary(request: Request, caller: Caller, env: Env) -> Response:
    return Response(b"x" * 2000, 200, {"Vary": "Accept", "Content-Type": "text/plain"})


async def _inject(request: Request, caller: Caller, env: Env) -> Response:
    headers = {"X-Echo": request.query["text"]}
    if "csp" in request.query:
        headers["Content-Security-Policy"] = "default-src 'self'"
    if "stream" in request.query:
        streamed = await _streamed(request, caller, env)
        return Response(streamed.body, 200, headers)
    return Response(b"x", 200, headers)


ODD = [
    Route("GET", "/page", _page, ANYONE),
    Route("GET", "/big", _big, ANYONE),
    Route("GET", "/streamed", _streamed, ANYONE),
    Route("GET", "/cookie", _cookie, ANYONE),
    Route("GET", "/vary", _vary, ANYONE),
    Route("GET", "/inject", _inject, ANYONE),
    Route("GET", "/public", _cookie, ANYONE, cors="any"),
    Route("POST", "/public", _cookie, ANYONE),
]


async def test_every_door_carries_the_safe_headers(host: RunningHost) -> None:
    """Every row of the table by every method, refusals and unknown paths as well."""
    for path in [*{route.path for route in ROUTES}, "/nowhere"]:
        target = path.replace("{", "x").replace("}", "")
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"):
            answer = await host.ask(method, target)
            own = ("Content-Security-Policy",) if path.startswith("/docs") else ()
            carries(answer.headers, *own)
            assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
            assert _HSTS not in answer.headers


async def test_every_way_to_answer_carries_them_once(tmp_path: Path) -> None:
    """Small, large, compressed, streamed, with cookies, a socket, not HTTP, the console."""
    async with running_host(tmp_path / "state", [*ROUTES, *ODD]) as host:
        for path in ("/big", "/streamed", "/cookie", "/vary", "/healthz"):
            for extra in ({}, {"Accept-Encoding": "gzip"}):
                async with host.session.get(host.url + path, headers=extra) as answer:
                    carries(answer.headers)
                    assert all(len(answer.headers.getall(name)) == 1 for name in SAFE_HEADERS)
        async with host.session.get(host.url + "/page") as page:
            carries(page.headers, "Content-Security-Policy")
            assert page.headers.getall("Content-Security-Policy") == ["default-src 'self'"]
        connection = await connect(host.port)
        query = f"id=imp_20261121080000_aaaaaa&token={host.token('profiles:import')}"
        await connection.send(head("GET", f"/api/profiles/import/progress?{query}", HANDSHAKE))
        upgraded = await connection.answer(no_body=True)
        assert upgraded.status == 101
        carries(upgraded.headers)
        await connection.cut()
        carries((await host.get("/_console")).headers, "Content-Security-Policy", *_CONSOLE)
        for sent in (b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", b"nonsense\r\n\r\n"):
            connection = await connect(host.port)
            await connection.send(sent)
            raw = await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), PATIENCE)
            told = dict(line.split(": ", 1) for line in raw.decode().split("\r\n")[1:-2])
            carries(told)
            await connection.cut()


# The console is a page of its own on the same machine.
_CONSOLE = ("Referrer-Policy", "X-Frame-Options", "Cross-Origin-Resource-Policy")


async def test_a_header_cannot_be_ended_early(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line break in a header of ours is a 500 without it, never a second header."""
    async with running_host(tmp_path / "state", ODD) as host:
        assert (await host.get("/inject?text=fine")).headers["X-Echo"] == "fine"
        for text in ("a%0d%0aSet-Cookie:%20evil=1", "a%0aX-Evil:1", "a%0dX-Evil:1"):
            for way in ("", "&stream=1", "&csp=1"):
                answer = await host.get(f"/inject?text={text}{way}")
                assert_problem(answer, 500, "internal_error")
                assert "evil" not in str(answer.headers).lower()
        assert "evil" not in "".join(host.log).lower()
        assert [event["level"] for event in host.events()].count("error") == 9
        assert not caplog.records


async def test_what_a_credential_opened_is_not_kept_by_caches(tmp_path: Path) -> None:
    """no-store unless the door says otherwise; what strangers get is theirs to keep."""
    async with running_host(tmp_path / "state", [*ROUTES, *ODD]) as host:
        for path in ("/cookie", "/streamed"):
            answer = await host.get(path, headers=host.bearer())
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Cache-Control" not in (await host.get(path)).headers
        own = await host.get("/docs", headers=host.bearer())
        assert own.headers["Cache-Control"] == "no-cache"


async def test_production_asks_for_https_for_ever(tmp_path: Path) -> None:
    """HSTS for a year, on every answer."""
    async with running_host(tmp_path / "state", ENVIRONMENT="production") as host:
        for path in ("/healthz", "/nope", "/docs"):
            assert (await host.get(path)).headers[_HSTS] == "max-age=31536000"


@pytest.mark.parametrize(
    ("origin", "known"),
    [
        (_OURS, True),
        ("tauri://localhost", True),
        ("null", False),
        ("https://app.example.evil", False),
        ("https://app.example:8443", False),
        ("http://app.example", False),
        ("https://APP.example", False),
        (f"{_OURS}, https://evil.example", False),
    ],
)
async def test_pages_of_listed_origins_may_call_and_others_may_not(
    tmp_path: Path, origin: str, known: bool
) -> None:
    """A preflight is answered or refused; answers name the listed origin, with credentials."""
    async with running_host(tmp_path / "state", CORS_ORIGINS=f"{_OURS},tauri://localhost") as host:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        before = await host.ask("OPTIONS", _DOOR, headers=asked)
        answer = await host.ask("POST", _DOOR, headers={"Origin": origin})
        assert answer.status == 401
        for one in (before, answer):
            assert "Origin" in one.headers["Vary"]
            assert one.headers.get("Access-Control-Allow-Origin") == (origin if known else None)
            assert one.headers.get("Access-Control-Allow-Credentials") == (
                "true" if known else None
            )
        if not known:
            assert_problem(before, 403, "origin_not_allowed")
            assert "Access-Control-Allow-Methods" not in before.headers
            return
        assert (before.status, before.body) == (204, b"")
        assert before.headers["Allow"] == "OPTIONS, POST"
        allowed = set(before.headers["Access-Control-Allow-Headers"].lower().split(", "))
        assert {"authorization", "content-type", "idempotency-key", "x-csrf-token"} <= allowed
        assert {"if-match", "x-dr-session", "x-dr-device"} <= allowed
        exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
        assert {"etag", "retry-after", "x-request-id", "electric-handle"} <= set(exposed)


async def test_without_listed_origins_nothing_is_allowed(host: RunningHost) -> None:
    """The default: OPTIONS tells Allow, a preflight is refused, and no CORS header goes out."""
    page = {"Origin": "https://a.example"}
    plain = await host.ask("OPTIONS", "/api/profiles", headers=page)
    assert (plain.status, plain.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    asked = {**page, "Access-Control-Request-Method": "GET"}
    before = await host.ask("OPTIONS", "/api/profiles", headers=asked)
    assert_problem(before, 403, "origin_not_allowed")
    for answer in (plain, before, await host.get("/api/profiles", headers=page)):
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_public_doors_may_be_read_by_every_page_without_credentials(tmp_path: Path) -> None:
    """`*` for strangers, the usual answer for listed origins; only the method that says so."""
    async with running_host(tmp_path / "state", ODD, CORS_ORIGINS=_OURS) as host:
        stranger = {"Origin": "https://anyone.example"}

        async def before(method: str, **extra: str) -> Any:
            asked = {**stranger, **extra, "Access-Control-Request-Method": method}
            return await host.ask("OPTIONS", "/public", headers=asked)

        for answer in (await host.get("/public", headers=stranger), await before("GET")):
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert answer.headers["Vary"] == "Origin"
        for method in ("POST", "DELETE", "OPTIONS", "CANARY"):
            assert_problem(await before(method), 403, "origin_not_allowed")
        posted = await host.ask("POST", "/public", headers=stranger)
        assert "Access-Control-Allow-Origin" not in posted.headers
        listed = await host.get("/public", headers={"Origin": _OURS})
        assert listed.headers["Access-Control-Allow-Origin"] == _OURS
        assert listed.headers["Access-Control-Allow-Credentials"] == "true"


async def test_vary_names_everything_that_an_answer_depends_on(tmp_path: Path) -> None:
    """What the door says, the origin, the compression."""
    async with running_host(tmp_path / "state", ODD, CORS_ORIGINS=_OURS) as host:
        answer = await host.get("/vary", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Vary"] == "Accept, Origin, Accept-Encoding"
