"""What an attacker plants in front of the doors: cookies, headers, credentials of another kind."""

import json
from pathlib import Path

import pytest

from tests.support.accounts import (
    PASSWORD,
    Page,
    Person,
    bearer,
    open_page,
    post,
    set_cookies,
    sign_in,
    sign_up,
)
from tests.support.problems import assert_problem
from tests.support.raw import connect
from tests.support.running_host import Answer, RunningHost, running_host
from worker import possession
from worker.accounts import magic_link
from worker.codec import open_cursor, seal_cursor
from worker.identity.caller import PERSON
from worker.routes import ROUTES

WHO = "/api/auth/session"
# What str.strip() takes for blank and a browser does not, so that it sees no prefix there.
BLANKS = (
    "\x1c \x1d \x1e \x1f \x85 \xa0 \u1680 \u2000 \u2003 \u2028 \u2029 \u202f \u205f \u3000 \ufeff"
)


async def raw(host: RunningHost, method: str, path: str, *lines: str) -> Answer:
    """Send a head with *lines* as UTF-8, as they stand; half surrogates are single bytes."""
    connection = await connect(host.port)
    text = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *lines)) + "\r\n\r\n"
    await connection.send(text.encode("utf-8", "surrogateescape"))
    try:
        return await connection.answer(no_body=method == "HEAD")
    finally:
        await connection.cut()


async def test_a_cookie_behind_an_odd_blank_is_not_ours(host: RunningHost) -> None:
    """A sibling site may set any name but `__Host-…`; what only looks so to a server is refused."""
    planted = (await sign_up(host, "mallory")).grant["token"]
    assert (await raw(host, "GET", WHO, f"Cookie: a=1;__Host-session={planted} ")).status == 200
    assert (await raw(host, "GET", WHO, f"Cookie: a=1;\t __Host-session={planted}")).status == 200
    for blank in BLANKS.split(" "):
        for cookie in (f"{blank}__Host-session={planted}", f"__Host-session{blank}={planted}"):
            answer = await raw(host, "GET", WHO, f"Cookie: {cookie}")
            assert answer.status in (400, 401), ascii(cookie)


async def test_a_cookie_of_nearly_that_name_is_not_ours(host: RunningHost) -> None:
    """Prefixes are compared exactly, and nothing of old cookie syntax is read."""
    planted = (await sign_up(host, "mallory")).grant["token"]
    for cookie in (
        *(f"__HOST-session={planted}", f"__host-session={planted}", f"__Host-Session={planted}"),
        *(f"=__Host-session={planted}", f"session={planted}", f"__Secure-session={planted}"),
        *(f'$Version=1; "__Host-session"={planted}', f'x="; __Host-session={planted}"'),
        *(f"a=1, __Host-session={planted}", f"__Host%2Dsession={planted}"),
        f"__Host-session=={planted}",
    ):
        answer = await raw(host, "GET", WHO, f"Cookie: {cookie}")
        assert_problem(answer, 401, "unauthorized")


async def test_of_two_cookies_of_one_name_neither_counts(host: RunningHost) -> None:
    """Whichever stands first: nobody works in the account that somebody else chose."""
    mine = (await sign_up(host)).grant["token"]
    planted = (await sign_up(host, "mallory")).grant["token"]
    for pair in ((mine, planted), (planted, mine), (mine, mine), (mine, "")):
        cookie = "; ".join(f"__Host-session={token}" for token in pair)
        assert_problem(await raw(host, "GET", WHO, f"Cookie: {cookie}"), 401, "unauthorized")
    page = await open_page(host)
    twice = f"{page.headers['Cookie']}; __Host-csrf={page.cookies['__Host-csrf']}"
    answer = await page.ask("POST", "/api/auth/signout", {"Cookie": twice})
    assert_problem(answer, 403, "csrf_failed")
    other = await open_page(host)
    both = f"{page.headers['Cookie']}; __Host-refresh={other.cookies['__Host-refresh']}"
    answer = await page.ask("POST", "/v1/sessions/refresh", {"Cookie": both})
    assert_problem(answer, 401, "unauthorized")


async def test_two_authorization_headers_are_refused(host: RunningHost) -> None:
    """No proxy in front may have judged the one while we judge the other."""
    one, two = (await sign_up(host)).grant["token"], (await sign_up(host, "bob")).grant["token"]
    for first, second in ((one, two), (one, "x"), ("x", one), (one, one)):
        lines = (f"Authorization: Bearer {first}", f"authorization: Bearer {second}")
        assert_problem(await raw(host, "GET", WHO, *lines), 401, "unauthorized")
    folded = await raw(host, "GET", WHO, "Authorization: Bearer", f" {one}")
    assert folded.status in (400, 401)


async def test_cookies_of_bytes_that_are_no_text_are_refused(host: RunningHost) -> None:
    """Each of ours, at the doors that read it: never a 500."""
    link = magic_link.seal(host.env, magic_link.make(host.env, "a@example.org", "x"))
    verify = f"{magic_link.PATH}?token={link}"
    for name in ("__Host-session", "__Host-refresh", "__Host-csrf", "__Host-magic"):
        for method, path in (("GET", WHO), ("POST", "/v1/sessions/refresh"), ("GET", verify)):
            answer = await raw(
                host, method, path, f"Cookie: {name}=\udcff\udc80", "X-CSRF-Token: \udcfe"
            )
            assert answer.status in (400, 401, 403), (name, path, answer.body)


async def test_a_sealed_thing_opens_nothing_but_what_it_is_for(host: RunningHost) -> None:
    """Access and refresh token, ticket, CSRF token, cursor: each is refused in all other places."""
    await sign_up(host)
    page, person = await open_page(host), await sign_in(host)
    ticket = (await person.ask("POST", "/v1/tickets", json={"audience": "api"})).json()["ticket"]
    settings = host.env.settings
    key, cursor_key = settings.session_key.reveal(), settings.cursor_key.reveal()
    session_id = person.grant["session_id"]
    things = {
        "access": person.grant["token"],
        "refresh": person.grant["refresh_token"],
        "csrf": page.cookies["__Host-csrf"],
        "ticket": ticket,
        "cursor": seal_cursor(cursor_key, "refresh", [session_id, 0, "x"]),
        "other purpose": seal_cursor(key, "csrf", [session_id, 0, "x"]),
        "link": magic_link.seal(host.env, magic_link.make(host.env, "a@example.org", "")),
        "challenge": possession.challenge(host.env)["challenge_id"],
        "session id": session_id,
    }
    for name, thing in things.items():
        if name != "access":
            assert_problem(await host.get(WHO, headers=bearer(thing)), 401, "unauthorized")
            planted = await host.get(WHO, headers={"Cookie": f"__Host-session={thing}"})
            assert_problem(planted, 401, "unauthorized")
        if name != "refresh":
            answer = await post(host, "/v1/sessions/refresh", refresh_token=thing)
            assert_problem(answer, 401, "unauthorized")
            answer = await Page(host, {**page.cookies, "__Host-refresh": thing}).ask(
                "POST", "/v1/sessions/refresh"
            )
            assert_problem(answer, 401, "unauthorized")
        if name != "csrf":
            answer = await Page(host, {**page.cookies, "__Host-csrf": thing}).ask(
                "POST", "/v1/tokens", json={"audience": "relay"}
            )
            assert_problem(answer, 403, "csrf_failed")
        if name != "link":
            answer = await host.get(f"{magic_link.PATH}?token={thing}")
            assert_problem(answer, 401, "invalid_link")
        answer = await host.get(f"/api/profiles?cursor={thing}")
        assert_problem(answer, 400, "invalid_cursor")
    assert await person.is_in()
    assert (await person.refresh()).status == 200


async def test_a_refresh_token_says_which_session_and_not_what_it_may(host: RunningHost) -> None:
    """Its inside can be read, but one of another session or generation cannot be made."""
    person = await sign_up(host)
    key = host.env.settings.session_key.reveal()
    session_id, generation, dice = open_cursor(key, "refresh", person.grant["refresh_token"])
    for position in ([session_id, generation, "0" * 32], [session_id, 7, dice], [7, 7, 7], [], {}):
        # Even with the key: what was never given out is not taken.
        forged = seal_cursor(key, "refresh", position)
        answer = await post(host, "/v1/sessions/refresh", refresh_token=forged)
        assert_problem(answer, 401, "unauthorized")
    assert (await person.refresh()).status == 200


async def test_a_sign_in_never_takes_over_a_session_that_was_there(host: RunningHost) -> None:
    """Fixation: whatever cookies a browser held before, signing in gives a session of its own."""
    await sign_up(host)
    planted = await open_page(host, (await sign_up(host, "mallory")).grant["username"])
    page = Page(host, dict(planted.cookies))
    body = {"username": "alice", "password": PASSWORD, "cookies": True}
    answer = await page.ask("POST", "/v1/sessions", json=body)

    assert answer.status == 200
    for name, before in planted.cookies.items():
        assert page.cookies[name] != before
    assert (await page.ask("GET", WHO)).json()["username"] == "alice"
    assert (await planted.ask("GET", WHO)).json()["username"] == "mallory"
    # The proof of the planted session is none for the new one.
    answer = await page.ask(
        "POST", "/api/auth/signout", {"X-CSRF-Token": planted.cookies["__Host-csrf"]}
    )
    assert_problem(answer, 403, "csrf_failed")


async def test_a_refresh_token_of_the_body_is_judged_without_the_cookies(host: RunningHost) -> None:
    """Somebody else's token in the body gives their tokens in the body; my cookies stay mine."""
    await sign_up(host)
    page, other = await open_page(host), await sign_up(host, "bob")
    mixed = await page.ask(
        "POST", "/v1/sessions/refresh", json={"refresh_token": other.grant["refresh_token"]}
    )
    assert mixed.json()["account_id"] == other.grant["account_id"]
    assert set_cookies(mixed) == []
    assert (await page.ask("GET", WHO)).json()["username"] == "alice"
    crossed = Page(host, {**page.cookies, "__Host-refresh": mixed.json()["refresh_token"]})
    answer = await crossed.ask("POST", "/v1/sessions/refresh")
    assert_problem(answer, 403, "csrf_failed")
    answer = await crossed.ask("DELETE", "/v1/sessions", {"Cookie": crossed.headers["Cookie"]})
    assert answer.status == 204
    assert await Person(host, mixed.json()).is_in()


CLOSED = [route for route in ROUTES if route.who.closed]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH", "get", "X"])
async def test_no_other_method_opens_a_closed_door(tmp_path: Path, method: str) -> None:
    """HEAD asks who is calling like GET; OPTIONS tells methods; all others are no way in."""
    async with running_host(tmp_path / "state", CLOSED) as host:
        for route in CLOSED:
            path = route.path.replace("{", "").replace("}", "")
            answer = await raw(host, method, path)
            if method == "OPTIONS":
                assert answer.status == 204
                assert answer.body == b""
            elif method == "HEAD":
                assert answer.status == (401 if route.method == "GET" else answer.status)
                assert answer.status in (401, 405)
            else:
                assert answer.status in (400, 405), path


@pytest.mark.parametrize(
    "written",
    ["%2e%2e", "a%2Fb", "..%2F..", "%00", "%ff", "%ED%A0%80", "'%20OR%201=1--", "%25", "\xff"],
)
async def test_a_session_id_is_only_looked_up(host: RunningHost, written: str) -> None:
    """Whatever is written there it is no session of mine: 404, nothing ends."""
    person = await sign_up(host)
    line = f"Authorization: Bearer {person.grant['token']}"
    answer = await raw(host, "DELETE", f"/v1/sessions/{written}", line)
    assert answer.status in (400, 404), answer.body
    assert await person.is_in()


@pytest.mark.parametrize(
    "text",
    [
        '{"username": "alice", "password": "' + PASSWORD + '", "username": "bob"}',
        '{"username": "alice\\u0000", "password": "' + PASSWORD + '"}',
        '{"username": "\\ud800lice", "password": "' + PASSWORD + '"}',
        '{"username": "alice", "password": "\\udfff' + PASSWORD + '"}',
        '{"username": "a\\u0301lice", "password": "' + PASSWORD + '"}',
        '{"username": "alice\\u200d", "password": "' + PASSWORD + '"}',
        '{"username": "al\\u0131ce", "password": "' + PASSWORD + '"}',
        '{"username": "\\u202ealice", "password": "' + PASSWORD + '"}',
        '{"username": "alice", "password": ' + "9" * 5000 + "}",
        '{"username": "alice", "password": 1e999}',
        '{"username": "alice", "password": NaN}',
        '{"username": ["alice"], "password": {"$ne": ""}}',
        '{"username": "alice", "password": "' + PASSWORD + '", "device_id": "\\ud800"}',
        '{"username": "alice", "password": "' + PASSWORD + '", "label": "\\ud800"}',
        '{"username": "alice", "password": "' + PASSWORD + '", "label": "a\\r\\nSet-Cookie: x=y"}',
        '{"username": "alice", "password": "' + PASSWORD + '", "audience": {}}',
        '{"username": "alice", "password": "' + PASSWORD + '", "audience": null}',
        '{"username": "alice", "password": "' + PASSWORD + '", "audience": "api\\u0000"}',
        '{"a":' * 2500 + "1" + "}" * 2500,
        "[" * 16000,
        "\ufeff{}",
        '{"username": "alice"',
        "\xff",
    ],
)
async def test_odd_json_never_signs_anybody_in_and_never_breaks(
    host: RunningHost, text: str
) -> None:
    """Duplicates, NUL, half surrogates, combining and hidden characters, depth, huge numbers."""
    await sign_up(host)
    for door in ("/v1/sessions", "/v1/users", "/auth/login", "/v1/sessions/refresh"):
        answer = await host.ask("POST", door, data=text.encode("utf-8", "surrogatepass"))
        assert answer.status in (400, 401, 422), (door, answer.body)
        assert "alice" not in json.dumps(answer.json())


def test_every_closed_door_is_closed_to_cookies_of_other_surfaces() -> None:
    """Only doors of the API, and those that say any, look at cookies at all."""
    for route in ROUTES:
        if route.who.audience not in ("api", "any"):
            assert not route.who.takes("api"), route.path
    assert PERSON.takes("api")
