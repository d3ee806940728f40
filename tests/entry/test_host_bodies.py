"""The host: bodies both ways as streams, compression, readers and senders that go away."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.problems import assert_problem
from tests.support.profiles import encode, many, profile
from tests.support.raw import connect, head
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker.env import Env
from worker.identity.caller import ANYONE, Caller
from worker.route_table import Route
from worker.web import Request, Response

EXPORT = "/api/profiles/export"
_BIG = encode(profile(biography="quiet mornings " * 50, interests=["chess " * 100]))
_ITEM = "/api/profiles/item?id=usr_aaaaaa"


async def echo(request: Request, caller: Caller, env: Env) -> Response:
    """Answer each chunk as it comes."""

    async def body() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            yield chunk

    return Response(body(), 200, {"Content-Type": "application/octet-stream"})


async def small(request: Request, caller: Caller, env: Env) -> Response:
    """Read JSON of at most 100 bytes."""
    return Response.json(await request.json(100))


_ROUTES = [
    Route("POST", "/echo", echo, ANYONE),
    Route("POST", "/small", small, ANYONE),
]


async def test_bytes_go_up_and_come_down_while_more_follow(tmp_path: Path) -> None:
    """Neither side waits for the end: each piece is answered before the next is sent."""
    async with running_host(tmp_path / "state", _ROUTES) as host:
        turn = asyncio.Queue[bytes]()

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await turn.get():
                yield piece

        await turn.put(b"first")
        async with host.session.post(f"{host.url}/echo", data=pieces()) as response:
            assert await response.content.readany() == b"first"
            await turn.put(b"second")
            assert await response.content.readany() == b"second"
            await turn.put(b"")
            assert await response.content.read() == b""


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_small_body_has_a_limit_declared_or_not(tmp_path: Path, *, chunked: bool) -> None:
    """At the limit it is read; one byte more is 413; what is no JSON is 400."""
    async with running_host(tmp_path / "state", _ROUTES) as host:

        async def post(body: bytes) -> Any:
            async def pieces() -> AsyncIterator[bytes]:
                for at in range(0, len(body), 10):
                    yield body[at : at + 10]

            return await host.ask("POST", "/small", data=pieces() if chunked else body)

        exact = b'"' + b"x" * 98 + b'"'
        assert (await post(exact)).json() == "x" * 98
        assert_problem(await post(exact + b" "), 413, "payload_too_large")
        for wrong in (b"", b"{", b"[" * 99, b"\xff", b"nope"):
            assert_problem(await post(wrong), 400, "bad_request")


async def test_answers_are_compressed_when_that_was_asked_for(host: RunningHost) -> None:
    """gzip by name or by *, not with q=0, not for small answers; Vary says so either way."""
    await host.send_profiles(_BIG)
    reader = host.bearer("profiles:read", "profiles:export")
    for accept, wanted in (
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("GZIP", True),
        ("*", True),
        ("*;q=0.1", True),
        ("gzip;q=1.000", True),
        ("deflate, br", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("", False),
        ("gzipped", False),
    ):
        for path in (_ITEM, EXPORT):
            answer = await host.get(path, headers={**reader, "Accept-Encoding": accept})
            assert (answer.headers.get("Content-Encoding") == "gzip") is wanted, accept
            assert "Accept-Encoding" in answer.headers["Vary"]
            plain = gzip.decompress(answer.body) if wanted else answer.body
            assert plain.rstrip(b"\n") == _BIG
    tiny = await host.get("/healthz", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in tiny.headers


async def test_compression_and_origin_both_vary(tmp_path: Path) -> None:
    """Vary names both when origins are listed."""
    async with running_host(tmp_path / "state", CORS_ORIGINS="https://a.example") as host:
        await host.send_profiles(_BIG)
        answer = await host.get(_ITEM, headers={"Accept-Encoding": "gzip"})
        assert {name.strip() for name in answer.headers["Vary"].split(",")} == {
            *("Origin", "Accept-Encoding"),
        }


async def test_an_export_is_compressed_as_it_streams(either: RunningHost) -> None:
    """A reader can unfold the first profiles before the last are sent."""
    await either.send_profiles(many(2000))
    headers = {**either.bearer("profiles:export"), "Accept-Encoding": "gzip"}
    async with either.session.get(either.url + EXPORT, headers=headers) as response:
        unfolder = zlib.decompressobj(31)
        text = b"".join([unfolder.decompress(chunk) async for chunk in response.content.iter_any()])
    assert unfolder.eof
    assert text == many(2000)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_reader_who_leaves_an_export_harms_nobody(
    either: RunningHost, caplog: pytest.LogCaptureFixture, *, reset: bool
) -> None:
    """The stream ends, nothing is logged as an error, the next reader gets everything."""
    await either.send_profiles(many(4000))
    for _ in range(3):
        connection = await connect(either.port)
        await connection.send(head("GET", EXPORT, either.bearer("profiles:export")))
        await connection.reader.readexactly(1000)
        await connection.cut(reset=reset)
    await asyncio.sleep(0.05)
    assert len(await either.stored()) == 4000
    assert [event for event in either.events() if event["level"] == "error"] == []
    assert caplog.records == []


async def test_a_sender_who_leaves_before_the_end_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A small door and an echo whose bodies never come."""
    async with running_host(tmp_path / "state", _ROUTES) as host:
        for path in ("/small", "/echo"):
            connection = await connect(host.port)
            await connection.send(head("POST", path, {"Content-Length": "90"}) + b"[1,")
            await asyncio.sleep(0.02)
            await connection.cut()
        await asyncio.sleep(0.05)
        assert [event for event in host.events() if event["level"] == "error"] == []
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_refused_upload_does_not_poison_the_connection(host: RunningHost) -> None:
    """After a 401 whose body was not read, the rest of the body is never taken for a request."""
    connection = await connect(host.port)
    smuggled = head("GET", "/healthz", {})
    fields = {"Content-Length": str(len(smuggled))}
    await connection.send(head("POST", "/api/profiles/import", fields))
    assert (await connection.answer()).status == 401
    await connection.send(smuggled)
    await connection.send(head("GET", "/nope", {}))
    rest = await asyncio.wait_for(connection.reader.read(200), PATIENCE)
    assert rest == b"" or rest.startswith(b"HTTP/1.1 404")
    await connection.cut()
    assert not [event for event in host.requests_logged() if event["route"] == "/healthz"]


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(
    host: RunningHost,
) -> None:
    """Pipelined, small and streamed answers mixed."""
    connection = await connect(host.port)
    paths = ["/healthz", "/nope", "/api/profiles?limit=0", "/healthz", "/api/profiles/count"]
    await connection.send(b"".join(head("GET", path, {}) for path in paths))
    statuses = [(await connection.answer()).status for _ in paths]
    assert statuses == [200, 404, 400, 200, 200]
    await connection.cut()


async def test_a_client_that_waits_before_its_body_is_told_to_go_on(tmp_path: Path) -> None:
    """100 Continue, then the answer to the body; an expectation that nobody knows is 417."""
    async with running_host(tmp_path / "state", _ROUTES) as host:
        connection = await connect(host.port)
        fields = {"Content-Length": "3", "Expect": "100-Continue"}
        await connection.send(head("POST", "/small", fields))
        assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await connection.send(b'"x"')
        assert (await connection.answer()).json() == "x"
        await connection.send(head("POST", "/small", {"Content-Length": "0", "Expect": "miracles"}))
        refused = await connection.answer()
        assert_problem(refused, 417, "expectation_failed")
        assert refused.headers["Server"] == "edgekeep"
        await connection.cut()


async def test_http_1_0_and_connection_close_end_the_connection(host: RunningHost) -> None:
    """The answer is whole and the connection ends behind it."""
    for request in (
        b"GET /healthz HTTP/1.0\r\n\r\n",
        head("GET", "/healthz", {"Connection": "close"}),
    ):
        connection = await connect(host.port)
        await connection.send(request)
        assert (await connection.answer()).json() == {"ok": True}
        assert await connection.reader.read() == b""
        await connection.cut()
