"""Guessing a name shuts nobody out, and no flood or restart makes the house forget who failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.core.test_rate_limits import Clock, freeze
from tests.support.accounts import PASSWORD
from tests.support.problems import assert_problem
from tests.support.running_host import Answer, RunningHost, running_host
from worker.accounts.doors.sessions import purge
from worker.identity import sign_in_guard as guard
from worker.limiter.counting import ProcessLimiter, Try
from worker.limiter.stored import DatabaseLimiter
from worker.limits import MAILS, OF_NETWORK, SIGN_IN, SIGN_IN_NAME, SIGN_IN_PAIR, SLOW_DOWNS

_PHONE = "0d3c1b4e-90ab-4cde-8f01-23456789abcd"
_ROWS = "SELECT count(*) AS rows FROM counters"


@asynccontextmanager
async def counting(state: Path) -> AsyncIterator[RunningHost]:
    """A host that counts, behind a proxy."""
    async with running_host(state, RATE_LIMITS="on", TRUSTED_PROXIES="127.0.0.1") as host:
        yield host


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host that counts, whose alice signed up at home on her phone."""
    async with counting(tmp_path) as host:
        answer = await ask(host, "/v1/users", "198.51.100.7", device_id=_PHONE)
        assert answer.status == 201, answer.body
        yield host


async def ask(
    host: RunningHost, path: str, address: str, password: str = PASSWORD, **more: str
) -> Answer:
    """Sign up or in as alice, from *address*."""
    body = {"username": "alice", "password": password, **more}
    return await host.ask("POST", path, json=body, headers={"X-Forwarded-For": address})


async def sign_in(host: RunningHost, address: str, password: str = PASSWORD, **more: str) -> Answer:
    """Sign in as alice, from *address*."""
    return await ask(host, "/v1/sessions", address, password, **more)


async def guess(host: RunningHost, times: int = SIGN_IN_NAME.free + 5) -> list[int]:
    """Guess alice's password from as many addresses; the statuses."""
    tries = (sign_in(host, f"203.0.113.{n}", f"wrong password {n}") for n in range(times))
    return [(await one).status for one in tries]


async def test_the_owner_comes_in_from_a_new_address_while_others_guess(
    limited: RunningHost,
) -> None:
    """On the phone that she signed up with, and from home; a stranger waits a moment."""
    freeze(limited)
    assert (await guess(limited))[-1] == 429
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
        assert (await sign_in(limited, address, device_id=_PHONE)).status == 200
    assert (await sign_in(limited, "198.51.100.7")).status == 200
    stranger = await sign_in(limited, "192.0.2.3", device_id=_PHONE.replace("0", "1"))
    assert_problem(stranger, 429, "rate_limited")
    assert int(stranger.headers["Retry-After"]) <= SIGN_IN_NAME.longest_wait


async def test_a_restart_forgets_neither_failures_nor_trust(tmp_path: Path) -> None:
    """Whoever could make the house restart would get fresh guesses and shut out the owner."""
    async with counting(tmp_path) as host:
        await ask(host, "/v1/users", "198.51.100.7", device_id=_PHONE)
        clock = freeze(host)
        for number in range(SIGN_IN_PAIR.free + 6):
            assert (await sign_in(host, "203.0.113.99", "wrong")).status == 401
            # Each failure waits longer; in the end for a minute, which no restart takes.
            clock.now += max(0, 2.0 ** (number - SIGN_IN_PAIR.free + 1))
        assert 429 in await guess(host)
    async with counting(tmp_path) as host:
        assert (await sign_in(host, "203.0.113.99", "wrong")).status == 429
        assert (await sign_in(host, "192.0.2.1", device_id=_PHONE)).status == 200
        assert (await sign_in(host, "198.51.100.7")).status == 200


async def test_made_up_names_push_nothing_out(limited: RunningHost) -> None:
    """Every failure that still counts has its row, however many there are."""
    freeze(limited)
    await guess(limited)
    before = await limited.env.db.prepare(_ROWS).first("rows")
    for number in range(500):
        attempted = await guard.check(limited.env, f"2001:db8:{number:x}::1", f"made up {number}")
        await guard.failed(limited.env, attempted)
    # A name from an address, the name, the address, its network.
    assert await limited.env.db.prepare(_ROWS).first("rows") == before + 4 * 500
    assert (await sign_in(limited, "192.0.2.3", "wrong")).status == 429


async def test_what_counts_no_more_is_removed(limited: RunningHost) -> None:
    """The hourly job: failures after some hours, trust after a year."""
    await guess(limited)
    for seconds, left in ((12 * 3600, 2), (31 * 24 * 3600, 1), (366 * 24 * 3600, 0)):
        with limited.clock.moved(seconds):
            await purge(limited.env)
            assert await limited.env.db.prepare(_ROWS).first("rows") == left


async def test_a_customers_network_signs_up_as_one(limited: RunningHost) -> None:
    """Each /64 of a /48 has its burst, all of them together eight; IPv4 has no network."""
    freeze(limited)
    room = OF_NETWORK[SIGN_IN.name].burst
    statuses = [
        (await ask(limited, "/v1/users", f"2001:db8:7:{n:x}::1", "short")).status
        for n in range(room + 2)
    ]
    assert statuses == [422] * room + [429] * 2
    assert (await ask(limited, "/v1/users", "2001:db8:8::1", "short")).status == 422


async def test_hosts_that_share_a_database_count_together(limited: RunningHost) -> None:
    """Of twenty tries at once over two limiters as many go on as are free, each counted once."""
    clock = Clock()
    limiters = [
        DatabaseLimiter(lambda: limited.env.db, clock, ProcessLimiter(clock)) for _ in range(2)
    ]
    tries = tuple(Try(row, "somebody") for row in SLOW_DOWNS[:2])
    verdicts = await asyncio.gather(*(limiters[n % 2].attempt(tries) for n in range(20)))
    good = [one for one in verdicts if one[-1].wait == 0]
    assert sorted(one[0].failures for one in good) == [1, 2, 3, 4, 5]
    await asyncio.gather(*(limiters[n % 2].undo(tries, good=False) for n in range(5)))
    assert (await limiters[0].attempt(tries))[1].failures == 1

    waits = await asyncio.gather(*(limiters[n % 2].take(MAILS, "box") for n in range(20)))
    assert waits.count(0) == MAILS.burst
