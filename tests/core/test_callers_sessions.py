"""Callers with a session: audiences, what a process remembers, keys that rotate."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.accounts import Person, bearer, later, post, sign_in, sign_up
from tests.support.problems import assert_problem
from tests.support.running_host import SECRETS, RunningHost, running_host
from worker.codec import b64url
from worker.env import Env
from worker.identity.access import RELOAD_SECONDS, Access
from worker.identity.caller import PERSON, Caller, Who
from worker.identity.tokens import AUDIENCES, issue
from worker.route_table import Route, RouteTable
from worker.routes import ROUTES
from worker.web import Request, Response


class FarDatabase:
    """The database as from afar: other requests come before it answers."""

    def __init__(self, env: Env) -> None:
        self.db = env.db

    def prepare(self, sql: str) -> "FarDatabase":
        """Keep the statement."""
        self.statement = self.db.prepare(sql)
        return self

    def bind(self, *values: object) -> "FarDatabase":
        """Keep the values."""
        self.statement = self.statement.bind(*values)
        return self

    async def raw(self) -> Any:
        """Answer late."""
        await asyncio.sleep(0.02)
        return await self.statement.raw()


async def _open(request: Request, caller: Caller, env: Env) -> Response:
    return Response.json({"subject": caller.subject, "audience": caller.audience})


_DOORS = (
    *(Route("GET", f"/t/{name}", _open, Who(person=True, audience=name)) for name in AUDIENCES),
    Route("GET", "/t/any", _open, Who(person=True, audience="any")),
    Route("GET", "/t/recent", _open, Who(recent=True)),
)


async def test_a_token_of_one_audience_opens_no_door_of_another(tmp_path: Path) -> None:
    """Every audience against every door; a door for any says which it was."""
    async with running_host(tmp_path, (*ROUTES, *_DOORS)) as host:
        await sign_up(host)
        for audience in AUDIENCES:
            person = await sign_in(host, audience=audience)
            for door in AUDIENCES:
                answer = await person.get(f"/t/{door}")
                assert answer.status == (200 if door == audience else 401)
            assert (await person.get("/t/any")).json()["audience"] == audience
            machine = issue(
                host.env.settings.signing_keys, "m", (), host.env.tools.now(), 5, audience=audience
            )
            answer = await host.get(f"/t/{audience}", headers=bearer(machine))
            assert_problem(answer, 403, "forbidden")


async def test_a_cookie_opens_doors_of_the_api_only(tmp_path: Path) -> None:
    """A page reaches other surfaces with a token or a ticket, never by cookie."""
    async with running_host(tmp_path, (*ROUTES, *_DOORS)) as host:
        person = await sign_up(host)
        cookie = {"Cookie": f"__Host-session={person.grant['token']}"}
        assert (await host.get("/t/api", headers=cookie)).status == 200
        assert (await host.get("/t/any", headers=cookie)).status == 200
        for door in ("relay", "backup", "replication"):
            assert (await host.get(f"/t/{door}", headers=cookie)).status == 401


async def test_a_door_for_recent_sign_ins_closes_after_ten_minutes(tmp_path: Path) -> None:
    """A refresh does not make a sign-in younger; signing in does."""
    async with running_host(tmp_path, (*ROUTES, *_DOORS)) as host:
        host.clock.stand()
        person = await sign_up(host)
        later(host, 599)
        assert (await person.get("/t/recent")).status == 200
        later(host, 2)
        await person.refresh()
        assert_problem(await person.get("/t/recent"), 403, "sign_in_again")
        assert (await (await sign_in(host)).get("/t/recent")).status == 200


async def test_what_is_remembered_of_a_token_ends_with_it(host: RunningHost) -> None:
    """A token that was seen before ends at its second like any other."""
    host.clock.stand()
    person = await sign_up(host)
    for _ in range(5):
        assert await person.is_in()
    later(host, 899)
    assert await person.is_in()
    later(host, 1)
    assert not await person.is_in()


async def test_what_is_remembered_is_no_other_token(host: RunningHost) -> None:
    """A good token does not vouch for one that begins or ends like it."""
    person = await sign_up(host)
    assert await person.is_in()
    token = person.grant["token"]
    for other in (token[:-1], token + "A", token.swapcase(), token[:-4] + "AAAA"):
        assert_problem(await host.get("/v1/sessions", headers=bearer(other)), 401, "unauthorized")


async def test_thousands_of_tokens_are_not_remembered_for_ever(host: RunningHost) -> None:
    """Memory is bounded, and a token that was forgotten holds all the same."""
    keys, now = host.env.settings.signing_keys, host.env.tools.now()
    access = Access(keys, 15)
    first = issue(keys, "first", (), now, 15)
    access._claims = {  # noqa: SLF001 - what it remembers shows nowhere else
        str(index): access.claims(first, now) for index in range(9_990)
    }
    for number in range(20):
        access.claims(issue(keys, f"subject {number}", (), now, 15), now)
        assert len(access._claims) <= 10_000  # noqa: SLF001
    assert access.claims(first, now).subject == "first"


async def test_a_revocation_reaches_other_hosts_within_seconds(host: RunningHost) -> None:
    """At once where it happened; elsewhere after at most `RELOAD_SECONDS`, by the database."""
    person, other = await sign_up(host), await sign_in(host)
    now = host.env.tools.now()
    elsewhere = Access(host.env.settings.signing_keys, 15)
    session_id = person.grant["session_id"]
    db = host.env.db
    assert not await elsewhere.is_revoked(session_id, db, now)

    await person.ask("DELETE", "/v1/sessions")

    assert not await person.is_in()
    assert not await elsewhere.is_revoked(session_id, db, now + RELOAD_SECONDS - 0.1)
    assert await elsewhere.is_revoked(session_id, db, now + RELOAD_SECONDS)
    assert not await elsewhere.is_revoked(other.grant["session_id"], db, now + RELOAD_SECONDS)
    # As long as a token of it could live, and on a clock that was set back.
    assert await elsewhere.is_revoked(session_id, db, now + 16 * 60 - 2)
    assert await elsewhere.is_revoked(session_id, db, now - 100)


async def test_a_host_that_just_started_knows_what_was_revoked(host: RunningHost) -> None:
    """Also the requests that come while it looks for the first time."""
    person = await sign_up(host)
    await person.ask("DELETE", "/v1/sessions")
    started = Access(host.env.settings.signing_keys, 15)
    now = host.env.tools.now()
    far: Any = FarDatabase(host.env)
    answers = await asyncio.gather(
        *(started.is_revoked(person.grant["session_id"], far, now) for _ in range(10))
    )
    assert answers == [True] * 10


async def test_a_database_that_fails_opens_no_door(host: RunningHost) -> None:
    """What cannot be looked up is not taken for allowed, and is asked again."""
    person = await sign_up(host)
    started = Access(host.env.settings.signing_keys, 15)
    await host.env.db.exec("ALTER TABLE sessions RENAME TO away")
    now = host.env.tools.now()
    for _ in range(2):
        with pytest.raises(Exception, match="no such table"):
            await started.is_revoked(person.grant["session_id"], host.env.db, now)
    await host.env.db.exec("ALTER TABLE away RENAME TO sessions")
    assert not await started.is_revoked(person.grant["session_id"], host.env.db, now)


async def test_signing_keys_rotate_without_signing_anybody_out(tmp_path: Path) -> None:
    """The old key still verifies, the new one signs; without the old key its tokens end."""
    old, new = f"k1:{b64url(b'1' * 32)}", f"k2:{b64url(b'2' * 32)}"
    async with running_host(tmp_path, SIGNING_KEYS=old) as host:
        grant = (await sign_up(host)).grant
        assert jwt.get_unverified_header(grant["token"])["kid"] == "k1"
    async with running_host(tmp_path, SIGNING_KEYS=f"{new},{old}") as host:
        person = Person(host, grant)
        assert await person.is_in()
        assert (await person.refresh()).status == 200
        assert jwt.get_unverified_header(person.grant["token"])["kid"] == "k2"
        assert await person.is_in()
        renewed = person.grant
    async with running_host(tmp_path, SIGNING_KEYS=new) as host:
        assert await Person(host, renewed).is_in()
        assert not await Person(host, grant).is_in()
        assert (await Person(host, renewed).refresh()).status == 200


async def test_the_key_of_refresh_tokens_is_another(host: RunningHost, tmp_path: Path) -> None:
    """A deployment with other keys takes neither the access nor the refresh token."""
    person = await sign_up(host)
    other_keys = {"SESSION_KEY": b64url(b"x" * 32), "SIGNING_KEYS": f"new:{b64url(b'y' * 32)}"}
    assert set(other_keys) <= set(SECRETS)
    async with running_host(tmp_path / "other", **other_keys) as other:
        assert not await Person(other, person.grant).is_in()
        answer = await post(
            other, "/v1/sessions/refresh", refresh_token=person.grant["refresh_token"]
        )
        assert_problem(answer, 401, "unauthorized")


@pytest.mark.parametrize("who", [None, "anyone", True, Who])
def test_a_door_that_does_not_say_who_may_call_does_not_open(who: Any) -> None:
    """The host does not start with such a table."""
    route = replace(ROUTES[0], who=who)
    with pytest.raises(TypeError, match="does not say who"):
        RouteTable([route])


def test_conditions_close_a_door() -> None:
    """Any condition refuses strangers; without one a door is open."""
    assert not Who().closed
    assert not Who(audience="any").closed
    for who in (PERSON, Who("a:b"), Who(recent=True), Who(audience="relay")):
        assert who.closed
