"""Sign-out, closing and new roles against refreshes at the same moment; clocks that jump."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from d1_schema.contract import D1Error
from tests.support.accounts import Person, bearer, later, sign_in, sign_up
from tests.support.running_host import RunningHost, running_host
from worker.accounts import store
from worker.identity.access import LONGEST_MINUTES, Access
from worker.settings import SETTINGS

PARALLEL = 6


async def sign_out(person: Person) -> None:
    """By the person itself."""
    await person.ask("DELETE", "/v1/sessions")


async def sign_out_everywhere(person: Person) -> None:
    """On every device."""
    await person.ask("DELETE", "/v1/sessions?everywhere=true")


async def disable(person: Person) -> None:
    """By an operator."""
    assert await store.disable(person.host.env, person.grant["account_id"])


async def demote(person: Person) -> None:
    """By an operator."""
    assert await store.set_role(person.host.env, person.grant["account_id"], "participant")


@pytest.mark.parametrize("ending", [sign_out, sign_out_everywhere, disable, demote])
async def test_a_refresh_at_the_same_moment_keeps_nothing_alive(
    host: RunningHost, ending: Callable[[Person], Awaitable[None]]
) -> None:
    """Whoever comes first: afterwards neither the old nor the new tokens hold."""
    await sign_up(host)
    for number in range(PARALLEL):
        await store.enable(host.env, (await store.find(host.env, "alice")).account_id)  # type: ignore[union-attr]
        person = await sign_in(host)
        before = person.grant
        tasks: list[Awaitable[Any]] = [person.refresh(), ending(Person(host, before))]
        await asyncio.gather(*(tasks if number % 2 else reversed(tasks)))
        for grant in (before, person.grant):
            held = Person(host, grant)
            assert not await held.is_in()
            assert (await held.refresh()).status == 401


async def test_a_sign_in_at_the_moment_of_closing_opens_nothing(host: RunningHost) -> None:
    """Either it is refused, or its session ends with the others."""
    account = (await sign_up(host)).grant["account_id"]
    for _ in range(3):
        signing = asyncio.gather(*(sign_in(host) for _ in range(3)), return_exceptions=True)
        await asyncio.sleep(0.04)
        await store.disable(host.env, account)
        for one in await signing:
            assert isinstance(one, AssertionError) or not await one.is_in()  # type: ignore[union-attr]
        await store.enable(host.env, account)


async def test_what_an_admin_could_do_ends_with_the_role(host: RunningHost) -> None:
    """Tokens, other tokens and tickets of the old role, at once; the next sign-in has the new."""
    account = (await sign_up(host)).grant["account_id"]
    await store.set_role(host.env, account, "admin")
    admin = await sign_in(host)
    other = (await admin.ask("POST", "/v1/tokens", json={"audience": "api"})).json()["token"]
    ticket = (await admin.ask("POST", "/v1/tickets", json={"audience": "api"})).json()["ticket"]
    export, progress = "/api/profiles/export", "/api/profiles/import/progress"
    assert (await host.get(export, headers=bearer(other))).status == 200

    await store.set_role(host.env, account, "owner")

    for token in (admin.grant["token"], other):
        assert (await host.get(export, headers=bearer(token))).status == 401
    watched = f"{progress}?id=imp_20261121080000_abcdef&token={ticket}"
    assert (await host.get(watched)).status == 401
    assert (await admin.refresh()).status == 401
    again = await sign_in(host)
    assert (await again.get("/api/auth/session")).json()["scopes"] == []
    assert (await again.get(export)).status == 403


@pytest.mark.parametrize("jump", [-7200, 7200])
async def test_a_clock_that_jumps_brings_no_ended_session_back(
    host: RunningHost, jump: float
) -> None:
    """Set back while a session ends, then right again: it stays ended, here and elsewhere."""
    person = await sign_up(host)
    now = host.env.tools.now()
    if jump < 0:
        host.clock.forward(jump)
        # From here the token of the future is a stranger's, so an operator ends the session.
        assert await store.disable(host.env, person.grant["account_id"])
        await store.enable(host.env, person.grant["account_id"])
    else:
        await sign_out(person)
        host.clock.forward(jump)
        await host.get("/api/auth/session", headers=person.bearer)
    host.clock.ahead = 0
    for seconds in (0, 10, 600):
        with host.clock.moved(seconds):
            assert not await person.is_in()
            elsewhere = Access(host.env.settings.signing_keys, LONGEST_MINUTES)
            at = now + seconds
            assert await elsewhere.is_revoked(person.grant["session_id"], host.env.db, at)


async def test_a_shorter_life_of_tokens_brings_no_ended_session_back(tmp_path: Path) -> None:
    """Tokens made under a longer one are remembered as ended as long as they live."""
    async with running_host(tmp_path, ACCESS_TOKEN_MINUTES="60") as host:
        person = await sign_up(host)
        await sign_out(person)
    async with running_host(tmp_path, ACCESS_TOKEN_MINUTES="5") as host:
        for _ in range(5):
            later(host, 600)
            assert not await Person(host, person.grant).is_in()
    [row] = [row for row in SETTINGS if row.name == "ACCESS_TOKEN_MINUTES"]
    assert row.parse(str(LONGEST_MINUTES)) == LONGEST_MINUTES
    with pytest.raises(ValueError):
        row.parse(str(LONGEST_MINUTES + 1))


async def test_a_change_that_could_not_end_the_sessions_is_not_made(host: RunningHost) -> None:
    """A new role, a closing, a new password: with the end of the sessions, or not at all."""
    person = await sign_up(host)
    account = person.grant["account_id"]
    env = host.env
    await env.db.exec("ALTER TABLE sessions RENAME TO away")
    for change in (
        store.set_role(env, account, "admin"),
        store.disable(env, account),
        store.change_password(env, account, "another hash", ""),
    ):
        with pytest.raises(D1Error, match="no such table"):
            await change
    await env.db.exec("ALTER TABLE away RENAME TO sessions")

    assert await person.is_in()
    again = await sign_in(host)
    assert (await again.get("/api/auth/session")).json()["role"] == "owner"
