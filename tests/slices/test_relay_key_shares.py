"""Nobody drains another's one-time prekeys: shares of a day, a reserve, and a bundle that comes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.accounts import bearer, later
from tests.support.prekeys import Device, Member, join
from tests.support.problems import assert_problem
from tests.support.relay import User, user
from tests.support.running_host import Answer, RunningHost, running_host
from worker.limiter.counting import ProcessLimiter
from worker.limiter.stored import DatabaseLimiter
from worker.limits import FETCH_KEYS
from worker.registry import DATA_HOLDERS
from worker.relay.keys.store import PREKEYS_RESERVED, purge_taken

DAY = 24 * 3600
SHARE = FETCH_KEYS.burst


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host that holds everybody to their shares; requests of one address are not limited here."""
    async with running_host(tmp_path / "state", RATE_LIMITS="on") as host:
        moments = iter(range(1_000_000))

        def tick() -> float:
            return float(next(moments))

        host.env.limiter = DatabaseLimiter(lambda: host.env.db, tick, ProcessLimiter(tick))
        yield host


async def _bob(host: RunningHost, kyber: int = 0) -> Member:
    device = Device()
    more = {"kyber_pre_keys": device.kyber(kyber)} if kyber else {}
    last = device.last_resort(7000)
    return await join(host, "bob", **device.upload(100, last_resort_kyber_pre_key=last, **more))


async def _people(host: RunningHost, stem: str, count: int) -> list[User]:
    return [await user(host, f"{stem}{number}") for number in range(count)]


async def _fetch(host: RunningHost, reader: User, query: str = "") -> Answer:
    return await host.ask("GET", f"/v1/keys/bob{query}", headers=bearer(reader.token))


async def _flood(
    host: RunningHost, readers: list[User], each: int, query: str = ""
) -> list[Answer]:
    return await asyncio.gather(
        *(_fetch(host, reader, query) for _ in range(each) for reader in readers)
    )


async def test_ten_who_take_all_they_can_leave_keys_for_friends(strict: RunningHost) -> None:
    """1000 fetches take what is above the reserve, and one each; friends get theirs."""
    bob = await _bob(strict)
    flood = Counter(
        one.status for one in await _flood(strict, await _people(strict, "mob", 10), 100)
    )
    left = (await bob.count())["one_time_pre_keys"]
    print(f"1000 fetches by ten accounts: {dict(flood)}; {left} of 100 prekeys are left")
    assert left == 100 - flood[200] >= PREKEYS_RESERVED - 10
    assert set(flood) <= {200, 412, 429}
    for friend in await _people(strict, "friend", 10):
        answer = await _fetch(strict, friend)
        assert (answer.status, answer.json()["one_time_pre_key"] is None) == (200, False)
        # The first was from the reserve: a second is for somebody else.
        assert_problem(await _fetch(strict, friend), 412, "prekeys_exhausted")
    assert (await bob.count())["one_time_pre_keys"] == left - 10


async def test_one_person_takes_a_share_a_day(strict: RunningHost) -> None:
    """Ten of one person's; 429 says when there is another; other people's are not counted in."""
    await _bob(strict)
    [greedy] = await _people(strict, "greedy", 1)
    statuses = Counter(one.status for one in await _flood(strict, [greedy], 30))
    assert statuses == {200: SHARE, 429: 30 - SHARE}
    refused = await _fetch(strict, greedy)
    assert_problem(refused, 429, "rate_limited")
    assert DAY - 60 < int(refused.headers["Retry-After"]) <= DAY
    await join(strict, "eve")
    own = await strict.ask("GET", "/v1/keys/eve", headers=bearer(greedy.token))
    assert own.status == 200
    later(strict, DAY)
    assert (await _fetch(strict, await _again(strict, greedy))).status == 200


async def _again(host: RunningHost, reader: User) -> User:
    """Return the same account with a new session: a day is longer than a token lives."""
    from worker.identity.sessions import SignIn, begin

    grant = await begin(host.env, SignIn(reader.id, "password"), "relay")
    return User(host, reader.id, reader.name, grant.session_id, grant.token)


async def test_whoever_does_without_always_gets_a_bundle(strict: RunningHost) -> None:
    """With `allow_no_otpk=1`: over the share, below the reserve, when nothing is left."""
    bob = await _bob(strict, kyber=100)
    mob = await _people(strict, "mob", 5)
    answers = await _flood(strict, mob, 60, "?allow_no_otpk=1")
    assert {one.status for one in answers} == {200}
    bundles = [one.json() for one in answers]
    assert sum(one["one_time_pre_key"] is not None for one in bundles) == 5 * SHARE
    # Of Kyber the same share of one-time ones, then that of last resort.
    assert sum(one["kyber_pre_key"]["id"] != 7000 for one in bundles) == 5 * SHARE
    assert (await bob.count())["kyber_pre_keys"] == 100 - 5 * SHARE
    await bob.ask("DELETE", "/v1/keys/one-time")
    [friend] = await _people(strict, "friend", 1)
    assert_problem(await _fetch(strict, friend), 412, "prekeys_exhausted")
    bundle = (await _fetch(strict, friend, "?allow_no_otpk=1")).json()
    assert (bundle["one_time_pre_key"], bundle["kyber_pre_key"]["id"]) == (None, 7000)


async def test_who_took_is_remembered_for_a_day_and_goes_with_the_account(
    strict: RunningHost,
) -> None:
    """Nothing else needs it: the hourly job and the erasure of the taker forget it."""
    await _bob(strict)
    ada, eve = await _people(strict, "reader", 2)
    known = "SELECT taken_by FROM one_time_prekeys WHERE taken_by IS NOT NULL"
    for reader in (ada, eve):
        await _fetch(strict, reader)
    assert len((await strict.env.db.prepare(known).all()).results) == 2
    await DATA_HOLDERS["relay_keys"].erase(strict.env, ada.id)
    left = (await strict.env.db.prepare(known).all()).results
    assert [row["taken_by"] for row in left] == [eve.id]
    later(strict, DAY)
    await purge_taken(strict.env)
    assert (await strict.env.db.prepare(known).all()).results == []


async def test_a_refused_fetch_wakes_no_owner(strict: RunningHost) -> None:
    """`keys_low` says that a key went; whoever is refused cannot flood the owner's sockets."""
    from tests.support.relay import Peer

    bob = await _bob(strict)
    await bob.ask("PUT", "/v1/keys", json={"one_time_pre_keys": bob.device.one_time(2)})
    url = f"{strict.url}/ws?token={bob.grant['token']}"
    peer = Peer(await strict.session.ws_connect(url))
    assert (await peer.hear()).keys_low.left == 2
    [greedy] = await _people(strict, "greedy", 1)
    assert (await _fetch(strict, greedy)).status == 200
    assert (await peer.hear()).keys_low.left == 1
    assert [(await _fetch(strict, greedy)).status for _ in range(4)] == [412] * 4
    assert await peer.is_silent(0.8)
