"""The host: methods, paths, request ids, planned doors, what is not HTTP; every door alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.problems import assert_problem
from tests.support.profiles import encode, profile
from tests.support.raw import connect, head
from tests.support.running_host import RunningHost, running_host
from worker.env import Env
from worker.identity.caller import ANYONE, Caller
from worker.route_table import Route
from worker.routes import ROUTES
from worker.web import Request, Response

_OPEN = [route for route in ROUTES if route.planned]


async def test_what_is_not_there_is_not_found(host: RunningHost) -> None:
    """404 for any method, and the path is not repeated."""
    for path in ("/", "/nope", "/api", "/api/profiles/", "/api/profiles/item/x", "/HEALTHZ"):
        for method in ("GET", "POST", "OPTIONS", "DELETE", "PROPFIND"):
            answer = await host.ask(method, path)
            assert "nope" not in json.dumps(assert_problem(answer, 404, "not_found"))


async def test_a_method_that_a_path_does_not_have_is_405_with_allow(host: RunningHost) -> None:
    """Allow names what there is: HEAD with GET, OPTIONS always."""
    for method, path, allow in (
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("DELETE", "/api/profiles", "GET, HEAD, OPTIONS"),
        ("GET", "/api/profiles/import", "OPTIONS, POST"),
        ("HEAD", "/api/profiles/import", "OPTIONS, POST"),
        ("PUT", "/v1/backup", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("PATCH", "/api/chats/abc", "GET, HEAD, OPTIONS"),
        ("PROPFIND", "/healthz", "GET, HEAD, OPTIONS"),
    ):
        answer = await host.ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allow)
        if method != "HEAD":
            assert_problem(answer, 405, "method_not_allowed")


async def test_head_is_get_without_the_body(host: RunningHost) -> None:
    """Same status, type and length; for streams as well."""
    await host.send_profiles(encode(profile(biography="x" * 700)))
    asker = host.bearer("profiles:export")
    for path in ("/healthz", "/api/profiles", "/api/profiles/item?id=usr_aaaaaa", "/nope"):
        for extra in ({}, {"Accept-Encoding": "gzip"}):
            get = await host.get(path, headers={**asker, **extra})
            got = await host.ask("HEAD", path, headers={**asker, **extra})
            assert (got.status, got.body) == (get.status, b"")
            assert got.headers["Content-Type"] == get.headers["Content-Type"]
            if "Content-Encoding" not in get.headers:
                assert got.headers["Content-Length"] == str(len(get.body))
    export = await host.ask("HEAD", "/api/profiles/export", headers=asker)
    assert (export.status, export.body) == (200, b"")


async def test_answers_to_head_do_not_shift_the_next_answer(host: RunningHost) -> None:
    """On one connection: HEAD, then GET; the second answer is whole."""
    connection = await connect(host.port)
    for path in ("/healthz", "/nope", "/api/profiles"):
        await connection.send(head("HEAD", path, {}))
        assert (await connection.answer(no_body=True)).headers["Content-Length"] != "0"
        await connection.send(head("GET", "/healthz", {}))
        assert (await connection.answer()).json() == {"ok": True}
    await connection.cut()


async def test_planned_doors_say_so(host: RunningHost) -> None:
    """501 for each door of DESIGN §8 that opens later: the names are taken."""
    for route in _OPEN:
        answer = await host.ask(route.method, route.path.replace("{", "x").replace("}", ""))
        assert_problem(answer, 501, "not_open_yet")


async def test_other_spellings_of_a_path_are_other_paths(host: RunningHost) -> None:
    """%-encoding, doubled and trailing slashes, dots and case never reach a door by a side way."""
    asker = host.bearer("profiles:export")
    for target in (
        *("//api/profiles/export", "/api//profiles/export", "/api/profiles/export/", "/./healthz"),
        *("/api/profiles%2Fexport", "/%61pi/profiles/export", "/api/profiles/%65xport"),
        *("/api/x/../profiles/export", "/healthz/../api/profiles/export", "/healthz;x"),
        *("/api/profiles/export%3F", "/Api/profiles/export", "/healthz%20", "/healthz%00"),
    ):
        connection = await connect(host.port)
        await connection.send(head("GET", target, asker))
        answer = await connection.answer()
        assert answer.status in (400, 404), target
        assert_problem(answer, answer.status, answer.json()["error"])
        await connection.cut()


async def test_the_absolute_form_and_odd_queries_are_understood(host: RunningHost) -> None:
    """A proxy's target names the same door; a query may hold anything."""
    for target in (f"http://localhost:{host.port}/healthz", "/healthz?", "/healthz?%ff&a=%&&=?"):
        connection = await connect(host.port)
        await connection.send(head("GET", target, {}))
        assert (await connection.answer()).status == 200
        await connection.cut()
    for query in ("limit=%ff", "cursor=%c3", "limit=1&%ff"):
        assert_problem(await host.get(f"/api/profiles?{query}"), 400, "bad_request")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"CANARY CANARY CANARY\r\n\r\n",
        b"GET /CANARY\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthori zation: CANARY\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: CANARY\0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"CANARY" * 3000 + b"\r\n\r\n",
        b"GET /" + b"CANARY" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00CANARY\r\n\r\n",
    ],
    ids=["version", "words", "path", "name", "NUL", "long field", "long path", "TLS"],
)
async def test_what_is_not_http_is_refused_without_a_word_of_it(
    host: RunningHost, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A problem document, an end of the connection, and nothing quoted in answer or log."""
    connection = await connect(host.port)
    await connection.send(sent)
    answer = await connection.answer()
    assert 400 <= answer.status < 500
    assert_problem(answer, 400, "bad_request")
    assert b"CANARY" not in answer.body
    assert "CANARY" not in caplog.text + "".join(host.log)
    host.events()
    assert await connection.reader.read() == b""
    await connection.cut()


async def test_every_answer_has_a_request_id_of_ours(host: RunningHost) -> None:
    """Each its own; what a client sends as one is not taken over."""
    seen = set()
    for path in ("/healthz", "/nope", "/api/profiles?limit=0", "/v1/backup"):
        for method in ("GET", "HEAD", "OPTIONS", "PUT"):
            answer = await host.ask(method, path, headers={"X-Request-Id": "mine"})
            seen.add(answer.headers["X-Request-Id"])
    assert len(seen) == 16
    assert "mine" not in seen
    assert seen == {event["request_id"] for event in host.requests_logged()}


async def test_an_unexpected_exception_says_nothing_but_its_request_id(tmp_path: Path) -> None:
    """500 with the canonical members; type and place go to the log, its text goes nowhere."""

    async def broken(request: Request, caller: Caller, env: Env) -> Response:
        raise RuntimeError("CANARY of somebody's data")

    async def breaks_off(request: Request, caller: Caller, env: Env) -> Response:
        async def body() -> Any:
            yield b"some"
            raise RuntimeError("CANARY too")

        return Response(body(), 200, {"Content-Type": "text/plain"})

    routes = [
        Route("GET", "/broken", broken, ANYONE),
        Route("GET", "/breaks-off", breaks_off, ANYONE),
    ]
    async with running_host(tmp_path / "state", routes) as host:
        document = assert_problem(await host.get("/broken"), 500, "internal_error")
        assert "detail" not in document
        with pytest.raises(Exception, match=r"not completed|closed|disconnected"):
            await host.get("/breaks-off")
        errors = [event for event in host.events() if event["level"] == "error"]
        assert errors[0]["exception"] == "RuntimeError"
        assert errors[0]["request_id"] == document["request_id"]
        assert "CANARY" not in "".join(host.log)
