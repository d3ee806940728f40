"""Paths that look like a door's and are not: none reaches the door, nor goes around its guards."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.problems import assert_problem
from tests.support.raw import connect, head
from tests.support.running_host import Answer, RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker.env import Env
from worker.identity.caller import ANYONE, Caller, Who
from worker.limits import RateLimit
from worker.route_table import Route, RouteTable
from worker.web import Request, Response


async def _tell(request: Request, caller: Caller, env: Env) -> Response:
    return Response.json({"params": dict(request.params)})


DOORS = [
    Route("GET", "/api/secret", _tell, Who("secret:read")),
    Route("GET", "/api/open", _tell, ANYONE, limit=RateLimit("few", 0.01, 2, "address")),
    Route("GET", "/api/items/{id}", _tell, ANYONE),
    Route("GET", "/api/items/{id}/parts/{part}", _tell, Who("secret:read")),
]

TRICKS = [
    *("//api/secret", "/api//secret", "/api/secret/", "/api/secret//", "///api/secret"),
    *("/./api/secret", "/api/./secret", "/api/x/../secret", "/../api/secret", "/api/secret/."),
    *("/%2e/api/secret", "/api/%2e%2e/api/secret", "/api/%2E/secret", "/api/secret/%2e"),
    *("/api%2Fsecret", "/api%2fsecret", "/api/%2Fsecret", "/%2Fapi/secret", "/api%5Csecret"),
    *("/api\\secret", "\\api\\secret", "/api/secret;x=1", "/api;x/secret", "/api/secret%3Bx"),
    *("/API/secret", "/api/Secret", "/api/SECRET", "/%61pi/secret", "/api/secre%74"),
    *("/api/secret%00", "/api/secret%20", "/api/secret%09", "/api/secret%0a", "/api/secret%3F"),
    *("/api/secret.json", "/api/secret~", "/api/secret%", "/api/secret%zz", "/api/secret%25"),
    *("/api/%73ecret", "/api/%2573ecret", "/api/secr\u0435t", "/api/s%C0%AFecret", "api/secret"),
]


async def ask(host: RunningHost, target: str, **fields: str) -> Answer:
    """Send GET *target* as it stands."""
    connection = await connect(host.port)
    data = head("GET", "TARGET", fields).replace(b"TARGET", target.encode("utf-8"))
    await connection.send(data)
    try:
        return await connection.answer()
    finally:
        await connection.cut()


@pytest.mark.parametrize("asker", ["stranger", "holder"])
async def test_only_the_exact_spelling_is_the_door(tmp_path: Path, asker: str) -> None:
    """404 or 400 for every other, also for who might come in: no second name for a door."""
    async with running_host(tmp_path / "state", DOORS) as host:
        fields = host.bearer("secret:read") if asker == "holder" else {}
        exact = await ask(host, "/api/secret", **fields)
        assert exact.status == (200 if asker == "holder" else 401)
        for target in TRICKS:
            answer = await ask(host, target, **fields)
            assert answer.status in (400, 404), target
            assert_problem(answer, answer.status, answer.json()["error"])


async def test_a_parameter_is_one_segment_decoded_once(tmp_path: Path) -> None:
    """A slash inside one stays inside; it never makes a longer path."""
    async with running_host(tmp_path / "state", DOORS) as host:
        for written, read in (
            ("a", "a"),
            ("a%2Fparts%2Fb", "a/parts/b"),
            ("%2e%2e", ".."),
            ("%2561", "%61"),
            ("..", ".."),
            ("a;b", "a;b"),
            ("%F0%9F%98%80", "\U0001f600"),
        ):
            answer = await ask(host, f"/api/items/{written}")
            assert answer.json() == {"params": {"id": read}}, written
        for target in (
            "/api/items/",
            "/api/items//parts/b",
            "/api/items/a/",
            "/api/items/a/parts/",
        ):
            assert (await ask(host, target)).status == 404
        assert (await ask(host, "/api/items/a/parts/b")).status == 401


async def test_tricks_do_not_go_around_a_limit(tmp_path: Path) -> None:
    """Other spellings are not the door; its own, however it is asked for, share one bucket."""
    async with running_host(tmp_path / "state", DOORS, RATE_LIMITS="on") as host:
        assert [(await ask(host, "/api/open")).status for _ in range(3)] == [200, 200, 429]
        spellings = ("/api/open?x=1", "/api/open?", f"http://evil.example:{host.port}/api/open")
        for target in spellings:
            assert (await ask(host, target)).status == 429, target
        for target in ("//api/open", "/api/%6fpen", "/api/open/", "/API/OPEN", "/api/./open"):
            assert (await ask(host, target)).status == 404, target


async def test_targets_without_a_path_are_answered_by_us(host: RunningHost) -> None:
    """404 like any other, with a line in the log."""
    targets = ("OPTIONS *", "CONNECT a.example:443", "GET http://a.example")
    for target in targets:
        connection = await connect(host.port)
        await connection.send(f"{target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert_problem(await connection.answer(), 404, "not_found")
        await connection.cut()
    assert [one["route"] for one in host.requests_logged()] == ["(none)"] * len(targets)


async def test_headers_cannot_name_another_path_or_method(tmp_path: Path) -> None:
    """What some servers obey: rewritten URLs and overridden methods."""
    async with running_host(tmp_path / "state", DOORS) as host:
        for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix"):
            assert (await ask(host, "/api/secret", **{name: "/api/open"})).status == 401
            assert (await ask(host, "/nowhere", **{name: "/api/open"})).status == 404
        overridden = await ask(host, "/api/open", **{"X-HTTP-Method-Override": "DELETE"})
        assert overridden.status == 200


async def test_two_requests_in_one_are_refused(tmp_path: Path) -> None:
    """Lengths that contradict each other: nothing behind them is taken for a request."""
    inner = b"GET /api/secret HTTP/1.1\r\nHost: x\r\n\r\n"
    async with running_host(tmp_path / "state", DOORS) as host:
        for fields in (
            f"Content-Length: 0\r\nContent-Length: {len(inner)}",
            f"Content-Length: {len(inner)}\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: xchunked",
            "Content-Length: +5",
            "Content-Length: 0x10",
        ):
            connection = await connect(host.port)
            await connection.send(
                f"POST /api/open HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n".encode()
            )
            await connection.send(inner)
            async with asyncio.timeout(PATIENCE):
                told = await connection.reader.read()
            assert told.split(b" ")[1] == b"400", fields
            assert told.count(b"HTTP/1.") == 1, fields
            await connection.cut()


_PIECES = st.sampled_from(
    [
        "/",
        "//",
        "api",
        "API",
        "secret",
        "%2e",
        "%2F",
        "..",
        ".",
        ";",
        "%00",
        "a",
        "%",
        "\\",
        "é",
        "?",
    ]
)


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_the_matcher_knows_the_exact_path_and_nothing_else(text: str) -> None:
    """Whatever stands there, a door without parameters is found by its own name alone."""
    found = RouteTable(DOORS).match("/" + text)
    if found is None:
        return
    resource, params = found
    if not params:
        assert "/" + text == resource.path
    else:
        assert len(text.split("/")) == len(resource.path.split("/")) - 1
