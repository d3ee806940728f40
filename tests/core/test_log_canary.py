"""
Log canaries: whatever a client sends, wherever it can put it, reaches no log and no refusal.

Goes by the route table, so that a new door is covered on the day it opens.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from tests.support.profiles import line
from tests.support.raw import connect
from tests.support.running_host import Answer, RunningHost, running_host
from worker.identity.tokens import issue
from worker.route_table import Resource, Route, RouteTable
from worker.routes import ROUTES

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
# Doors whose answer holds, when all is well, what its own caller sent. Everybody else: never.
ECHOES = {
    "/v1/users",
    "/v1/sessions",
    "/auth/register",
    "/auth/login",
    "/api/auth/session",
    "/v1/backup",
    "/v1/attachments",
    "/v1/attachments/{id}",
    "/api/profiles",
    "/api/profiles/item",
    "/api/profiles/export",
}
# What a request line may hold, and nothing else.
MEMBERS = {
    *("ts", "level", "event", "app", "env", "platform"),
    *("method", "route", "status", "ms", "request_id"),
    *("actor_uid", "session_id", "device_id", "client_session_id"),
}
_PERSON = {
    "username": "canaryperson",
    "password": "canary lantern 42 quiet",
    "email": "canary@canary.example",
    "refresh_token": "canary",
    "audience": "canary",
    "name": "CANARY",
    "nested": {"canary": ["CANARY"]},
}
BODIES: Mapping[str, bytes] = {
    "application/json": json.dumps(_PERSON).encode(),
    "application/x-ndjson": line("usr_canary1", user_name="CANARY", biography="CANARY")
    + b'\nCANARY {"canary": 1}\n',
    "application/octet-stream": b"CANARY" * 10,
}


def canary_headers(number: int) -> dict[str, str]:
    """Return every header that anybody reads, and some that nobody does."""
    names = (
        *("User-Agent", "Referer", "Origin", "Accept", "Accept-Language", "X-Canary"),
        *(
            "If-Match",
            "If-None-Match",
            "If-Modified-Since",
            "Range",
            "Access-Control-Request-Method",
        ),
        *("X-Request-Id", "X-CSRF-Token", "X-Checksum-Sha256", "X-Import-Notes", "X-Shard-Id"),
        *("X-DR-Actor", "X-DR-Session", "X-DR-Device", "X-Device-Id", "traceparent", "Forwarded"),
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "CF-Connecting-IP", "CF-Ray"),
        *("Sec-Fetch-Site", "Sec-WebSocket-Protocol", "Access-Control-Request-Headers"),
    )
    sent = dict.fromkeys(names, f'"CANARY-{number}"')
    sent["Host"] = "canary.example"
    sent["Idempotency-Key"] = f"CANARY-{number}"
    sent["Cookie"] = "; ".join(f"{name}=CANARY" for name in ("__Host-session", "__Host-csrf", "c"))
    return sent


def good_token(host: RunningHost, route: Route | None) -> str:
    """Return a token that opens *route*, of somebody whose name is a canary."""
    audience = route.who.audience if route is not None and route.who.audience != "any" else "api"
    now = host.env.tools.now()
    return issue(
        host.env.settings.signing_keys,
        "canary-subject",
        ["profiles:import", "profiles:export", "profiles:read", "accounts:admin"],
        now,
        15,
        audience=audience,
        sid="01890000-0000-7000-8000-00000000cafe",
        role="owner",
        auth_time=int(now),
    )


def credentials(host: RunningHost, route: Route | None) -> Iterator[dict[str, str]]:
    """Return a stranger, bad credentials, and a good one."""
    yield {}
    yield {"Authorization": "Bearer CANARY.CANARY.CANARY"}
    yield {"Authorization": "CANARY CANARY"}
    yield {"Authorization": f"Bearer {good_token(host, route)}"}


def quiet(host: RunningHost, caplog: pytest.LogCaptureFixture, more: str = "") -> None:
    """Assert that no canary is in a line of the log, nor in what else was written."""
    host.env.log.flush()
    # Frames of the stores below name this file.
    text = ("".join(host.log) + caplog.text + more).lower().replace(Path(__file__).name, "")
    found = text.find("canary")
    assert found < 0, text[max(0, found - 300) : found + 300]


def unquoted(answer: Answer, route: Resource | None) -> None:
    """Assert that the answer repeats nothing, unless it is one that may."""
    if answer.status < 400 and route is not None and route.path in ECHOES:
        return
    text = f"{dict(answer.headers)} {answer.body.decode('latin-1')}".lower()
    found = text.find("canary")
    place = "(none)" if route is None else route.path
    assert found < 0, f"{place} {answer.status}: …{text[max(0, found - 200) : found + 100]}…"


async def try_door(host: RunningHost, path: str, resource: Resource | None, number: int) -> int:
    """Call *path* in every way; return how many requests that made."""
    asked = 0
    for method in METHODS:
        route = resource.methods.get(method) if resource is not None else None
        kinds = list(BODIES) if route is not None else ["application/json"]
        for credential in credentials(host, route):
            if route is None and asked > number:
                continue
            for kind in kinds:
                query = (
                    f"id=usr_canary1&cursor=CANARY&limit=CANARY&CANARY=CANARY&mode=CANARY&"
                    f"token={credential.get('Authorization', 'CANARY').split()[-1]}"
                )
                headers = {**canary_headers(asked), **credential, "Content-Type": kind}
                data = None if method in ("GET", "HEAD") else BODIES[kind]
                answer = await host.ask(method, f"{path}?{query}", headers=headers, data=data)
                unquoted(answer, resource)
                asked += 1
    return asked


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A running host that answers to the canary's name too."""
    async with running_host(tmp_path / "state", ALLOWED_HOSTS="canary.example") as running:
        yield running


async def test_no_door_lets_a_canary_into_the_log(
    host: RunningHost, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every path, by every method, as a stranger and as somebody, with every kind of body."""
    assert (await host.ask("GET", "/healthz", headers={"Host": "canary2.example"})).status == 421
    asked = 0
    resources = RouteTable(ROUTES).resources
    for path, resource in [*resources.items(), ("/CANARY", None)]:
        target = path.replace("{", "CANARY-").replace("}", "")
        asked += await try_door(host, target, resource, 6)
    lines = host.requests_logged()
    # Import rooms and the like may write more; each request has exactly one line.
    assert len(lines) == asked
    templates = {*resources, "(none)"}
    for one in lines:
        assert set(one) <= MEMBERS
        assert one["route"] in templates
        assert one["method"] in {*METHODS, "OTHER"}
    told = capfd.readouterr()
    quiet(host, caplog, told.out + told.err)


class Broken:
    """A store whose every call fails with words of a client in its text."""

    def __getattr__(self, name: str) -> Any:
        """Return the method *name*, which fails."""
        if name in ("prepare", "bind", "get_by_name", "get", "id_from_name"):
            return _Both(self)
        return self.fail

    async def fail(self, *_arguments: Any, **_options: Any) -> Any:
        """Fail."""
        raise RuntimeError("CANARY: UNIQUE constraint failed, value CANARY")


class _Both:
    """What may be called for a statement or an actor, and awaited as a read."""

    def __init__(self, store: Broken) -> None:
        self._store = store

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def __await__(self) -> Any:
        return self._store.fail().__await__()


async def test_stores_that_fail_do_not_tell_either(
    host: RunningHost, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Errors quote values; the log and the answer do not."""
    real = {}
    for name in ("profiles_kv", "import_report_kv", "idempotency_kv", "db", "blobs"):
        real[name] = getattr(host.env, name)
        setattr(host.env, name, Broken())
    seen = set()
    for route in ROUTES:
        target = route.path.replace("{", "CANARY-").replace("}", "")
        for kind, body in BODIES.items():
            answer = await host.ask(
                route.method,
                f"{target}?id=usr_canary1",
                headers={
                    "Authorization": f"Bearer {good_token(host, route)}",
                    "Content-Type": kind,
                },
                data=None if route.method == "GET" else body,
            )
            seen.add(answer.status)
            unquoted(answer, None)
    for name, store in real.items():
        setattr(host.env, name, store)
    assert 500 in seen or 503 in seen
    assert any(event["level"] == "error" for event in host.events())
    told = capfd.readouterr()
    quiet(host, caplog, told.out + told.err)


async def test_sockets_keep_quiet_too(
    host: RunningHost, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A token in the query, good or bad; messages; a reason for closing."""
    for route in ROUTES:
        if not route.who.query_token:
            continue
        path = route.path.replace("{", "CANARY-").replace("}", "")
        for token in ("CANARY", good_token(host, route)):
            for query in ("id=CANARY", "id=imp_20261121080000_canary"):
                with contextlib.suppress(ClientError):
                    async with host.session.ws_connect(
                        f"{host.url}{path}?{query}&token={token}",
                        headers=canary_headers(0),
                        protocols=["CANARY"],
                    ) as socket:
                        await socket.send_str('{"canary": "CANARY"}')
                        await socket.send_bytes(b"CANARY")
                        await socket.close(code=4000, message=b"CANARY")
    told = capfd.readouterr()
    quiet(host, caplog, told.out + told.err)


async def test_bytes_that_are_not_http_keep_quiet_too(
    host: RunningHost, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the request line, in a field, in a chunk, behind a length that lies."""
    post = b"POST /v1/users HTTP/1.1\r\nHost: x\r\n"
    for sent in (
        b"CANARY\r\n\r\n",
        b"GET /CANARY\x00 HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nCANARY\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: CANARY\x00\r\n\r\n",
        post + b"Content-Length: CANARY\r\n\r\n",
        post + b"Content-Length: 3\r\nContent-Length: 6\r\n\r\nCANARY",
        post + b"Transfer-Encoding: chunked\r\n\r\nCANARY\r\nCANARY\r\n",
        post + b"Transfer-Encoding: CANARY\r\n\r\nCANARY",
        post + b"Content-Length: 3\r\n\r\nabcCANARY / HTTP/1.1\r\n\r\n",
    ):
        connection = await connect(host.port)
        await connection.send(sent)
        answer = await connection.answer()
        assert b"CANARY" not in answer.body
        await connection.cut()
    told = capfd.readouterr()
    quiet(host, caplog, told.out + told.err)


async def test_attributes_are_those_of_facts(host: RunningHost) -> None:
    """actor_uid and session_id from a credential that held; UUIDs of the client under its names."""
    uuid = "3f2504e0-4f89-11d3-9a0c-0305e82cfaab"
    token = good_token(host, None)
    sent = {
        "Authorization": f"Bearer {token}",
        "X-DR-Device": uuid.upper(),
        "X-DR-Session": uuid,
        "X-DR-Actor": "CANARY",
    }
    await host.get("/healthz", headers=sent)
    await host.get("/healthz", headers={"X-Device-Id": uuid, "X-DR-Actor": "CANARY"})
    await host.get("/healthz", headers={"X-DR-Device": f"{uuid}x", "X-DR-Session": '","evil":"'})
    await host.get("/healthz")
    first, second, third, fourth = host.requests_logged()
    assert len(first["actor_uid"]) == 16
    assert first["session_id"] == "01890000-0000-7000-8000-00000000cafe"
    assert first["device_id"] == first["client_session_id"] == uuid
    assert second["device_id"] == uuid
    for one in (second, third, fourth):
        assert not {"actor_uid", "session_id", "client_session_id"} & set(one)
    assert "device_id" not in {**third, **fourth}
    assert "evil" not in "".join(host.log)
    assert {(one["app"], one["env"], one["platform"]) for one in host.requests_logged()} == {
        ("edgekeep", "development", "host")
    }


async def test_a_limited_host_keeps_quiet_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refusals of too many requests, behind a proxy that names the client."""
    async with running_host(
        tmp_path / "state", RATE_LIMITS="on", TRUSTED_PROXIES="127.0.0.1"
    ) as host:
        seen = set()
        for number in range(30):
            forwarded = {"X-Forwarded-For": "CANARY, 198.51.100.77"}
            body = {"username": "canaryperson", "password": f"CANARY {number}"}
            answer = await host.ask("POST", "/v1/sessions", json=body, headers=forwarded)
            seen.add(answer.status)
            unquoted(answer, None)
        assert 429 in seen
        quiet(host, caplog)
        assert "198.51.100.77" not in "".join(host.log)
