"""A lost answer or a second tab does not end a session; a thief does (REFRESH_GRACE_SECONDS)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Page, Person, later, open_page, post, sign_up
from tests.support.problems import assert_problem
from tests.support.running_host import Answer, RunningHost, running_host
from worker.accounts import store
from worker.identity import sessions

RACES = 20
GRACE = 20


async def _refresh(host: RunningHost, token: str, **more: Any) -> Answer:
    return await post(host, "/v1/sessions/refresh", refresh_token=token, **more)


@pytest.mark.parametrize("seconds", [0, GRACE - 1])
async def test_a_lost_answer_is_given_again(host: RunningHost, seconds: int) -> None:
    """The same spent token gives the same successor, with a good access token; both go on."""
    person = await sign_up(host)
    old = person.grant["refresh_token"]
    lost = (await _refresh(host, old)).json()
    later(host, seconds)

    for _ in range(3):
        again = await _refresh(host, old, audience="api")
        assert again.status == 200
        assert again.json()["refresh_token"] == lost["refresh_token"]
        assert again.json()["refresh_expires_at"] == lost["refresh_expires_at"]
        assert await Person(host, again.json()).is_in()
    person.grant |= again.json()
    assert (await person.refresh()).status == 200
    assert await person.is_in()


@pytest.mark.parametrize("seconds", [GRACE, 7 * 24 * 3600 - 1])
async def test_after_the_grace_a_spent_token_ends_the_session(
    host: RunningHost, seconds: int
) -> None:
    """Also when its successor was never used: by then two hold it."""
    person = await sign_up(host)
    old = person.grant["refresh_token"]
    await person.refresh()
    later(host, seconds)

    assert_problem(await _refresh(host, old), 401, "refresh_reused")

    assert_problem(await person.refresh(), 401, "unauthorized")
    assert not await person.is_in()


async def test_once_the_successor_was_used_there_is_no_grace(host: RunningHost) -> None:
    """Whoever used it had the answer: the older token comes from somebody else."""
    person = await sign_up(host)
    old = person.grant["refresh_token"]
    await person.refresh()
    await person.refresh()
    assert_problem(await _refresh(host, old), 401, "refresh_reused")
    assert_problem(await person.refresh(), 401, "unauthorized")


async def test_a_clock_that_is_set_back_makes_no_longer_grace(host: RunningHost) -> None:
    """An hour back, the moment of the refresh is not a moment ago."""
    person = await sign_up(host)
    old = person.grant["refresh_token"]
    await person.refresh()
    later(host, -3600)
    assert_problem(await _refresh(host, old), 401, "refresh_reused")


@pytest.mark.parametrize("rounds", [3])
async def test_of_parallel_refreshes_all_get_the_one_successor(
    host: RunningHost, rounds: int
) -> None:
    """Twenty at once, again and again: one successor, one row, and the session goes on."""
    person = await sign_up(host)
    for _ in range(rounds):
        token = person.grant["refresh_token"]
        answers = await asyncio.gather(*(_refresh(host, token) for _ in range(RACES)))
        assert [answer.status for answer in answers] == [200] * RACES
        assert len({answer.json()["refresh_token"] for answer in answers}) == 1
        person.grant |= answers[-1].json()
        assert await person.is_in()
    assert len(await sessions.living(host.env, person.grant["account_id"])) == 1


async def test_two_tabs_that_refresh_by_the_cookie_keep_their_session(host: RunningHost) -> None:
    """Both show the cookie of before; both end up with the same one."""
    await sign_up(host)
    tab = await open_page(host)
    other = Page(host, dict(tab.cookies))
    answers = await asyncio.gather(
        *(one.ask("POST", "/v1/sessions/refresh") for one in (tab, other))
    )
    assert [answer.status for answer in answers] == [200, 200]
    assert tab.cookies["__Host-refresh"] == other.cookies["__Host-refresh"]
    assert (await other.ask("POST", "/v1/sessions/refresh")).status == 200


async def test_the_grace_does_not_outlive_the_session(host: RunningHost) -> None:
    """Signed out, or the account disabled: nothing is given again."""
    person = await sign_up(host)
    old = person.grant["refresh_token"]
    await person.refresh()
    await person.ask("DELETE", "/v1/sessions")
    assert_problem(await _refresh(host, old), 401, "unauthorized")

    bob = await sign_up(host, "bob")
    old = bob.grant["refresh_token"]
    await bob.refresh()
    await store.disable(host.env, bob.grant["account_id"])
    assert_problem(await _refresh(host, old), 401, "unauthorized")


async def test_the_database_holds_no_token(host: RunningHost) -> None:
    """Neither the spent one nor its successor, in no column."""
    person = await sign_up(host)
    old = person.grant["refresh_token"]
    await person.refresh()
    rows = (await host.env.db.prepare("SELECT * FROM sessions").all()).results
    text = str(rows)
    assert old not in text
    assert person.grant["refresh_token"] not in text


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host without grace."""
    async with running_host(tmp_path, REFRESH_GRACE_SECONDS="0") as host:
        yield host


async def test_a_deployment_may_do_without_grace(strict: RunningHost) -> None:
    """Then a spent token ends the session at once, and of a race one goes through."""
    person = await sign_up(strict)
    token = person.grant["refresh_token"]
    answers = await asyncio.gather(*(_refresh(strict, token) for _ in range(RACES)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * (RACES - 1)
    assert not await person.is_in()
