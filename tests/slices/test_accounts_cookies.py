"""Pages: cookies that scripts cannot read, and the proof that a change comes from our own page."""

import re

import pytest

from tests.support.accounts import PASSWORD, Page, later, open_page, set_cookies, sign_in, sign_up
from tests.support.problems import assert_problem
from tests.support.raw import connect, head
from tests.support.running_host import RunningHost

_FOREIGN = ("https://evil.example", "null", "http://127.0.0.1:8788.evil.example", "", "HTTP://x")


async def test_a_page_gets_cookies_and_no_tokens(host: RunningHost) -> None:
    """__Host- cookies, the tokens out of reach of scripts, the CSRF token for them to read."""
    page = Page(host)
    body = {"username": "alice", "password": PASSWORD, "cookies": True}

    made = await page.ask("POST", "/v1/users", json=body)

    assert made.status == 201
    assert not {"token", "refresh_token", "token_type"} & set(made.json())
    lines = {line.partition("=")[0]: line for line in set_cookies(made)}
    assert set(lines) == {"__Host-session", "__Host-refresh", "__Host-csrf"}
    for name, line in lines.items():
        attributes = line.split("; ")[1:]
        assert {"Path=/", "Secure", "SameSite=Lax"} <= set(attributes)
        assert not any(one.startswith("Domain") for one in attributes)
        assert ("HttpOnly" in attributes) == (name != "__Host-csrf")
    # A second may have passed.
    assert re.search("Max-Age=(900|899);", lines["__Host-session"])
    assert re.search("Max-Age=(604800|604799);", lines["__Host-refresh"])
    assert (await page.ask("GET", "/api/auth/session")).json()["username"] == "alice"


async def test_a_foreign_page_cannot_sign_anybody_in(host: RunningHost) -> None:
    """Login CSRF: another site's form must not put its own session into a browser."""
    await sign_up(host)
    body = {"username": "alice", "password": PASSWORD, "cookies": True}
    for door in ("/v1/sessions", "/auth/login", "/v1/users"):
        if door == "/auth/login":
            body["audience"] = "api"
        for origin in _FOREIGN:
            answer = await host.ask("POST", door, json=body, headers={"Origin": origin})
            assert_problem(answer, 403, "csrf_failed")
            assert set_cookies(answer) == []
        hidden = await host.ask("POST", door, json=body, headers={"Sec-Fetch-Site": "cross-site"})
        assert_problem(hidden, 403, "csrf_failed")


@pytest.mark.parametrize("method_path", ["POST /v1/tokens", "DELETE /v1/sessions"])
async def test_a_change_by_cookie_needs_its_proof(host: RunningHost, method_path: str) -> None:
    """CSRF token missing, wrong, of another session; foreign, `null` or no Origin."""
    await sign_up(host)
    page, other = await open_page(host), await open_page(host)
    method, path = method_path.split()
    body = {"json": {"audience": "relay"}}
    for change in (
        {"X-CSRF-Token": None},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "x" * 24},
        {"X-CSRF-Token": "é"},
        {"X-CSRF-Token": other.cookies["__Host-csrf"]},
        *({"Origin": origin} for origin in _FOREIGN),
        {"Origin": None, "Sec-Fetch-Site": "cross-site"},
        {"Origin": None, "Sec-Fetch-Site": "same-site"},
    ):
        answer = await page.ask(method, path, change, **body)
        assert_problem(answer, 403, "csrf_failed")
    # The cookie has to be there as well, and be the session's own.
    planted = Page(host, {**page.cookies, "__Host-csrf": other.cookies["__Host-csrf"]})
    for change in ({}, {"X-CSRF-Token": page.cookies["__Host-csrf"]}):
        assert_problem(await planted.ask(method, path, change, **body), 403, "csrf_failed")
    assert (await page.ask("GET", "/api/auth/session")).status == 200
    # A client that is no browser sends no Origin; the proof is the token.
    assert (await page.ask(method, path, {"Origin": None}, **body)).status in (200, 204)


async def test_a_page_refreshes_by_its_cookie(host: RunningHost) -> None:
    """Also after the access token has expired; with the proof, and to cookies again."""
    await sign_up(host)
    page = await open_page(host)
    later(host, 901)
    page.cookies.pop("__Host-session")
    assert (await page.ask("GET", "/api/auth/session")).status == 401
    old = dict(page.cookies)
    for change in ({"X-CSRF-Token": None}, {"Origin": "null"}, {"Origin": "https://evil.example"}):
        refused = await page.ask("POST", "/v1/sessions/refresh", change)
        assert_problem(refused, 403, "csrf_failed")

    answer = await page.ask("POST", "/v1/sessions/refresh")

    assert answer.status == 200
    assert "token" not in answer.json()
    assert page.cookies["__Host-refresh"] != old["__Host-refresh"]
    assert (await page.ask("GET", "/api/auth/session")).status == 200
    relay = await page.ask("POST", "/v1/sessions/refresh", json={"audience": "relay"})
    assert_problem(relay, 400, "bad_request", members=["errors"])
    later(host, host.env.settings.refresh_grace_seconds)
    replay = await Page(host, old).ask("POST", "/v1/sessions/refresh")
    assert_problem(replay, 401, "refresh_reused")
    assert (await page.ask("GET", "/api/auth/session")).status == 401


async def test_an_upgrade_is_no_way_around_the_proof(host: RunningHost) -> None:
    """Only the handshake of a WebSocket door does without the CSRF token."""
    await sign_up(host)
    page = await open_page(host)
    for upgrade in ("websocket", "h2c", "x"):
        change: dict[str, str | None] = {
            "X-CSRF-Token": None,
            "Upgrade": upgrade,
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
            "Sec-WebSocket-Version": "13",
        }
        body = {"json": {"audience": "api"}}
        refused = await page.ask("POST", "/v1/tickets", change, **body)
        assert_problem(refused, 403, "csrf_failed")
    assert (await page.ask("POST", "/v1/tickets", json={"audience": "api"})).status == 200


async def test_sign_out_clears_the_cookies(host: RunningHost) -> None:
    """Here and everywhere; again, and with what is left of an expired session, is fine."""
    await sign_up(host)
    page, other = await open_page(host), await open_page(host)
    before = dict(page.cookies)

    assert (await page.ask("POST", "/api/auth/signout")).status == 204

    assert page.cookies == {}
    assert (await Page(host, before).ask("GET", "/api/auth/session")).status == 401
    assert (await page.ask("POST", "/api/auth/signout")).status == 204
    stale = Page(host, dict(before))
    assert (await stale.ask("DELETE", "/v1/sessions")).status == 204
    assert stale.cookies == {}
    assert (await other.ask("DELETE", "/v1/sessions?everywhere=true")).status == 204
    assert other.cookies == {}


async def test_a_page_that_slept_signs_out_by_its_refresh_cookie(host: RunningHost) -> None:
    """Its session ends although the access token has expired; without the proof it does not."""
    person = await sign_up(host)
    page = await open_page(host)
    before = dict(page.cookies)
    later(host, 901)
    page.cookies.pop("__Host-session")

    refused = await page.ask("POST", "/api/auth/signout", {"X-CSRF-Token": None})
    assert_problem(refused, 403, "csrf_failed")
    assert (await page.ask("POST", "/api/auth/signout")).status == 204

    assert page.cookies == {}
    assert (await Page(host, before).ask("POST", "/v1/sessions/refresh")).status == 401
    assert (await person.refresh()).status == 200


async def test_a_foreign_page_cannot_sign_anybody_out(host: RunningHost) -> None:
    """A form of another site gets no Set-Cookie that clears, though the browser sent none."""
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = await host.ask("POST", "/api/auth/signout", headers=headers)
        assert_problem(answer, 403, "csrf_failed")
        assert set_cookies(answer) == []


async def test_a_bearer_beside_a_cookie_is_judged_alone(host: RunningHost) -> None:
    """X25: whoever sends both is the bearer; a bad one is refused although the cookie is good."""
    await sign_up(host, "alice")
    await sign_up(host, "bob")
    page = await open_page(host, "alice")
    bob = await sign_in(host, "bob")

    both = await page.ask("GET", "/api/auth/session", bob.bearer)
    assert both.json()["username"] == "bob"
    # No proof is asked for: a foreign page cannot send a bearer it does not know.
    change = {**bob.bearer, "X-CSRF-Token": None}
    answer = await page.ask("POST", "/v1/tokens", change, json={"audience": "relay"})
    assert answer.status == 200
    bad = await page.ask("GET", "/api/auth/session", {"Authorization": "Bearer x"})
    assert_problem(bad, 401, "unauthorized")
    out = await page.ask("DELETE", "/v1/sessions", bob.bearer)
    assert (out.status, set_cookies(out)) == (204, [])
    assert (await page.ask("GET", "/api/auth/session")).json()["username"] == "alice"


async def test_a_stale_cookie_is_a_stranger_at_an_open_door(host: RunningHost) -> None:
    """Old cookies must not lock anybody out of what is open to all."""
    await sign_up(host)
    page = await open_page(host)
    later(host, 901)
    assert (await page.ask("GET", "/api/profiles/count")).status == 200
    assert (await page.ask("GET", "/api/auth/session")).status == 401
    odd = {"Cookie": "__Host-session=x; __Host-session; ;=;é=ü; __Host-refresh=%00"}
    assert (await host.get("/api/profiles/count", headers=odd)).status == 200
    assert (await host.ask("POST", "/v1/sessions/refresh", headers=odd)).status == 401


async def test_bytes_that_are_no_text_are_refused(host: RunningHost) -> None:
    """In every header that carries a credential or its proof: 401 or 403, never a 500."""
    await sign_up(host)
    page = await open_page(host)
    good = page.headers
    for change, status in (
        ({"X-CSRF-Token": "\xff\xfe"}, 403),
        ({"Cookie": good["Cookie"].replace("__Host-csrf=", "__Host-csrf=\xff")}, 403),
        ({"Cookie": "__Host-session=\xff"}, 401),
        ({"Origin": "\xff"}, 403),
        ({"Authorization": "Bearer \xff\xfe.\xff.\xff"}, 401),
    ):
        connection = await connect(host.port)
        await connection.send(head("POST", "/v1/tokens", {**good, **change, "Content-Length": "0"}))
        assert (await connection.answer()).status == status, change
        await connection.cut()
        fields = {"Cookie": "__Host-refresh=\xff\xff", "Content-Length": "0"}
        connection = await connect(host.port)
        await connection.send(head("POST", "/v1/sessions/refresh", fields))
        assert (await connection.answer()).status == 401
        await connection.cut()
