"""Who is calling: every credential that does not hold is refused, at every door."""

import base64
import json
import math
from typing import Any

import jwt
import pytest

from tests.support.accounts import open_page, sign_up
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost

EXPORT = "/api/profiles/export"
_NEW = b"n" * 32


def made(host: RunningHost, *, key: bytes = _NEW, header: Any = None, **changes: Any) -> str:
    """Return a token that would hold but for what is changed; None removes a claim."""
    now = int(host.env.tools.now())
    claims = {
        "iss": "edgekeep",
        "aud": "api",
        "sub": "tester",
        "scope": "profiles:export",
        "iat": now,
        "exp": now + 900,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    fields = {"kid": "new", "typ": "at+jwt", **(header or {})}
    fields = {name: value for name, value in fields.items() if value is not None}
    algorithm = fields.pop("alg", "HS256")
    return jwt.encode(claims, key, algorithm, headers=fields)


def unsigned(header: Any, claims: Any, signature: str = "") -> str:
    """Write a token by hand."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode())
    texts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*texts, signature])


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries *token*."""
    return {"Authorization": f"Bearer {token}"}


async def refuse(host: RunningHost, token: str) -> None:
    """Assert that *token* is refused at a closed and at an open door."""
    for door in (EXPORT, "/healthz", "/api/profiles"):
        answer = await host.get(door, headers=bearer(token))
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert len(token) < 20 or token[-20:] not in answer.body.decode()


async def test_a_good_token_opens_the_door(host: RunningHost) -> None:
    """With the current key and with an older one that is still in the ring."""
    assert (await host.get(EXPORT, headers=bearer(made(host)))).status == 200
    older = made(host, key=b"o" * 32, header={"kid": "old"})
    assert (await host.get(EXPORT, headers=bearer(older))).status == 200
    loose = {"Authorization": f"bearer   {made(host)} "}
    assert (await host.get(EXPORT, headers=loose)).status == 200


_BAD: dict[str, dict[str, Any]] = {
    "wrong key": {"key": b"x" * 32},
    "key of another kid": {"header": {"kid": "old"}},
    "no kid": {"header": {"kid": None}},
    "unknown kid": {"header": {"kid": "other"}},
    "kid that is a path": {"header": {"kid": "../../dev/null"}},
    "another algorithm": {"header": {"alg": "HS512"}, "key": _NEW * 2},
    "another type": {"header": {"typ": "JWT"}},
    "no type": {"header": {"typ": "refresh"}},
    "wrong audience": {"aud": "relay"},
    "no audience": {"aud": None},
    "wrong issuer": {"iss": "someone"},
    "no issuer": {"iss": None},
    "expired": {"exp": 1},
    "no end": {"exp": None},
    "no beginning": {"iat": None},
    "no subject": {"sub": None},
    "made in the future": {"iat": 99_999_999_999, "exp": 999_999_999_999},
    "not valid yet": {"nbf": 99_999_999_999},
    "a beginning that is no number": {"nbf": "soon"},
    "a birth that is no number": {"iat": "now"},
    "a birth that is true": {"iat": True},
    "an end that is no number": {"exp": [99_999_999_999]},
    "an end that never comes": {"exp": math.inf},
    "an end that no clock can say": {"exp": 10**400},
    "an end before all time": {"exp": -math.inf},
    "an end that is nothing": {"exp": math.nan},
    "a birth before all time": {"iat": -math.inf},
    "a sign-in that never was": {"auth_time": math.inf},
    "a sign-in that no clock can say": {"auth_time": 10**400},
    "a sign-in that is a word": {"auth_time": "now"},
}


@pytest.mark.parametrize("name", _BAD)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_token_that_does_not_hold_is_refused(host: RunningHost, name: str) -> None:
    """401 at every door, an open one as well."""
    await refuse(host, made(host, **_BAD[name]))


async def test_an_unsigned_token_is_refused(host: RunningHost) -> None:
    """alg none, in any spelling, with and without a signature."""
    now = int(host.env.tools.now())
    claims = {"iss": "edgekeep", "aud": "api", "sub": "x", "iat": now, "exp": now + 60}
    for algorithm in ("none", "None", "NONE", "", None, "HS256", ["HS256"]):
        header = {"alg": algorithm, "kid": "new", "typ": "at+jwt"}
        for signature in ("", "AAAA"):
            await refuse(host, unsigned(header, claims, signature))


async def test_what_is_no_token_is_refused(host: RunningHost) -> None:
    """Any text, cut and altered tokens, odd JSON in the header."""
    good = made(host)
    head, body, signature = good.split(".")
    for text in (
        *("x", "a.b", "a.b.c", "a.b.c.d", "..", "null", "é"),
        *(good + "=", good + "==", f"{head}=.{body}.{signature}", f"{head}.{body}==.{signature}"),
        *(good[:-1] + chr(ord(good[-1]) + 1), good.replace("-", "+").replace("_", "/") + "="),
        *(good[:-1], good + "A", f"{head}.{body}.", f"{head}..{signature}", head),
        unsigned([], {}, "AAAA"),
        unsigned("x", {}, "AAAA"),
        unsigned({"alg": "HS256", "kid": ["new"], "typ": "at+jwt"}, {}, "AAAA"),
        unsigned({"alg": "HS256", "kid": {}, "typ": "at+jwt"}, [], "AAAA"),
        unsigned({"alg": "HS256", "kid": "new", "typ": "at+jwt"}, None, "AAAA"),
        f"{head}.{'W10' * 1000}.{signature}",
    ):
        await refuse(host, text)


async def test_a_token_ends_when_its_time_is_over(host: RunningHost) -> None:
    """At the second of `exp` it has ended; clocks may differ by a minute at its beginning."""
    now = int(host.env.tools.now())
    for exp, iat, holds in (
        (now + 30, now, True),
        (now, now - 9, False),
        (now + 90, now + 40, True),
    ):
        answer = await host.get(EXPORT, headers=bearer(made(host, exp=exp, iat=iat)))
        assert (answer.status == 200) is holds


async def test_a_huge_token_is_refused_without_a_word_of_it(host: RunningHost) -> None:
    """5 KB reach us, 1 MB does not even pass the server; neither is logged."""
    await refuse(host, made(host, filler="x" * 5000))
    answer = await host.get(EXPORT, headers=bearer("CANARY" * 180_000))
    assert answer.status in (400, 401, 431)
    assert b"CANARY" not in answer.body
    assert "CANARY" not in "".join(host.log)


@pytest.mark.parametrize(
    "header",
    ["", "Basic dXNlcjpwYXNz", "Token x", "bearer:x", "BearerX y", 'Digest username="a", nc=1'],
)
async def test_another_scheme_is_nobodys_credential(host: RunningHost, header: str) -> None:
    """A proxy's own credential reaches us too: open doors stay open, closed ones stay closed."""
    fields = {"Authorization": header}
    assert (await host.get("/healthz", headers=fields)).status == 200
    assert_problem(await host.get(EXPORT, headers=fields), 401, "unauthorized")


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Negotiate YII="])
async def test_a_cookie_holds_beside_another_scheme(host: RunningHost, header: str) -> None:
    """A page behind a proxy that asks for a password; the proof against other sites still holds."""
    await sign_up(host)
    page = await open_page(host)
    more: dict[str, str | None] = {"Authorization": header}
    assert (await page.ask("GET", "/api/auth/session", more)).status == 200
    assert (await page.ask("POST", "/v1/tickets", more, json={"audience": "api"})).status == 200
    refused = await page.ask("POST", "/v1/tickets", {**more, "X-CSRF-Token": None}, json={})
    assert_problem(refused, 403, "csrf_failed")
    assert (await page.ask("DELETE", "/v1/sessions", more)).status == 204


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer", "Basic eDp5, Bearer x"])
async def test_a_broken_bearer_is_refused(host: RunningHost, header: str) -> None:
    """A bearer without a token, or one of two credentials, is a 401 and not a stranger."""
    for door in (EXPORT, "/healthz"):
        answer = await host.get(door, headers={"Authorization": header})
        assert_problem(answer, 401, "unauthorized")


async def test_a_closed_door_without_a_token_is_401_and_without_the_scope_403(
    host: RunningHost,
) -> None:
    """Each closed door names the scope that is missing."""
    for method, door, scope in (
        ("POST", "/api/profiles/import", "profiles:import"),
        ("GET", "/api/profiles/import/report?id=imp_20261121080000_abcdef", "profiles:import"),
        ("GET", "/api/profiles/import/progress?id=imp_20261121080000_abcdef", "profiles:import"),
        ("GET", EXPORT, "profiles:export"),
    ):
        nobody = await host.ask(method, door)
        assert_problem(nobody, 401, "unauthorized")
        assert nobody.headers["WWW-Authenticate"] == "Bearer"
        for scopes in ([], ["profiles:read"], [scope + "x"], [scope.upper()]):
            other = await host.ask(method, door, headers=host.bearer(*scopes))
            assert scope in assert_problem(other, 403, "forbidden")["detail"]
    assert await host.total() == 0


async def test_a_token_without_scopes_is_a_known_stranger(host: RunningHost) -> None:
    """Open doors stay open, and the log has a pseudonym that is not the subject."""
    assert (await host.get("/healthz", headers=host.bearer(subject="subject-7"))).status == 200
    [event] = host.requests_logged()
    assert event["actor_uid"]
    assert "subject-7" not in "".join(host.log)
    await host.get("/healthz")
    assert "actor_uid" not in host.requests_logged()[-1]
