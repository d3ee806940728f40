"""Failed sign-ins slow down the next; nobody is shut out for ever; many of them are told."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_rate_limits import Clock, freeze
from tests.support.running_host import RunningHost, running_host
from worker.errors import RateLimited
from worker.identity import sign_in_guard as guard
from worker.limiter.actor import ActorLimiter
from worker.limiter.counting import Failures, ProcessLimiter, step_attempt
from worker.limits import (
    SIGN_IN_ADDRESS,
    SIGN_IN_NAME,
    SIGN_IN_NETWORK,
    SIGN_IN_PAIR,
    SLOW_DOWNS,
    SlowDown,
)

_HOME, _AWAY = "198.51.100.7", "203.0.113.9"
_PHONE = "0d3c1b4e-90ab-4cde-8f01-23456789abcd"


async def wrong(
    host: RunningHost, address: str = _HOME, name: str = "maria", device: str = ""
) -> float:
    """Try a wrong password; return 0, or for how long it was put off."""
    try:
        attempt = await guard.check(host.env, address, name, device)
    except RateLimited as refused:
        return float(refused.headers["Retry-After"])
    await guard.failed(host.env, attempt)
    return 0


async def right(
    host: RunningHost, address: str = _HOME, name: str = "maria", device: str = ""
) -> None:
    """Sign in well; raises `RateLimited`."""
    await guard.succeeded(host.env, await guard.check(host.env, address, name, device))


@pytest.fixture(params=["database", "actor"])
async def limited(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A host that counts, in its database or in actors, by a clock of the test."""
    async with running_host(tmp_path / "state", RATE_LIMITS="on") as host:
        clock = freeze(host)
        if request.param == "actor":
            host.env.tools.now = clock
            host.env.limiter = ActorLimiter(lambda: host.env.rate_limiter, ProcessLimiter(clock))
        yield host, clock


Limited = tuple[RunningHost, Clock]


async def test_a_few_slips_cost_nothing_and_then_each_waits_longer(limited: Limited) -> None:
    """Five are free; then 1 s, 2 s, 4 s … up to a quarter of an hour; a refused try is free."""
    host, clock = limited
    assert [await wrong(host) for _ in range(SIGN_IN_PAIR.free)] == [0] * 5
    waits = []
    for _ in range(12):
        wait = await wrong(host)
        assert await wrong(host) == wait
        waits.append(wait)
        clock.now += wait
        assert await wrong(host) == 0
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert waits[-1] <= SIGN_IN_PAIR.longest_wait
    clock.now += SIGN_IN_PAIR.longest_wait
    await right(host)
    assert [await wrong(host) for _ in range(SIGN_IN_PAIR.free)] == [0] * 5


async def test_twenty_wrong_tries_at_once_do_not_slip_through(limited: Limited) -> None:
    """As many as are free are verified, the others are put off before."""
    host, _ = limited
    waits = await asyncio.gather(*(wrong(host) for _ in range(20)))
    assert waits.count(0) == SIGN_IN_PAIR.free


async def test_a_name_is_guessed_slowly_from_many_addresses(limited: Limited) -> None:
    """Each address alone would be let in; together they wait, but never long."""
    host, clock = limited
    waits = [await wrong(host, f"203.0.{n}.1") for n in range(SIGN_IN_NAME.free + 20)]
    assert waits[: SIGN_IN_NAME.free] == [0] * SIGN_IN_NAME.free
    assert all(wait > 0 for wait in waits[SIGN_IN_NAME.free :])
    for number in range(20):
        clock.now += SIGN_IN_NAME.longest_wait
        assert await wrong(host, f"203.1.{number}.1") == 0
    assert await wrong(host, "203.2.0.1") <= SIGN_IN_NAME.longest_wait


async def test_nobody_can_shut_out_somebody_else(limited: Limited) -> None:
    """Who signed in from an address before goes on there while others guess the name."""
    host, clock = limited
    await right(host)
    clock.now += 7 * 24 * 3600
    for number in range(60):
        await wrong(host, f"203.0.{number}.1")
    await right(host)
    assert await wrong(host, _AWAY) > 0


async def test_one_address_with_many_names_is_slowed_down(limited: Limited) -> None:
    """Stolen passwords tried name by name; good sign-ins there do not make up for them."""
    host, _ = limited
    for number in range(SIGN_IN_ADDRESS.free):
        assert await wrong(host, _AWAY, f"name{number}") == 0
        if number % 10 == 0:
            await right(host, _AWAY, "attacker")
    assert await wrong(host, _AWAY, "another") > 0
    assert await wrong(host, _HOME, "another") == 0


async def test_an_ipv6_network_is_one_address(limited: Limited) -> None:
    """Another address of the same /64 does not begin anew."""
    host, _ = limited
    waits = [await wrong(host, f"2001:db8:1:1::{n}") for n in range(10)]
    assert waits.count(0) == SIGN_IN_PAIR.free


async def test_a_customers_whole_network_is_slowed_down(limited: Limited) -> None:
    """65,536 networks of /64 in a /48 are one customer; the next /48 is another."""
    host, _ = limited
    for number in range(SIGN_IN_NETWORK.free):
        assert await wrong(host, f"2001:db8:1:{number:x}::1", f"name{number}") == 0
    assert await wrong(host, "2001:db8:1:ffff::1", "another") > 0
    assert await wrong(host, "2001:db8:2::1", "another") == 0


async def test_a_device_that_signed_in_before_has_its_own_row(limited: Limited) -> None:
    """Wherever it is, and whatever others do with the name or from its address."""
    host, clock = limited
    await right(host, device=_PHONE)
    clock.now += 90 * 24 * 3600
    for number in range(60):
        await wrong(host, f"203.0.{number}.1")
    for number in range(60):
        await wrong(host, _AWAY, f"name{number}")
    assert await wrong(host, _AWAY) > 0
    await right(host, _AWAY, device=_PHONE)
    # From there it is trusted now; from elsewhere a device that nobody knows still waits.
    assert await wrong(host, "192.0.2.1", device=_PHONE[::-1]) > 0
    assert [await wrong(host, "192.0.2.1", device=_PHONE) for _ in range(6)] == [0] * 5 + [1]


async def test_a_device_is_known_for_the_name_that_signed_in_there(limited: Limited) -> None:
    """Somebody's own device is not a way to guess other names."""
    host, _ = limited
    await right(host, _AWAY, "attacker", device=_PHONE)
    waits = [await wrong(host, _AWAY, device=_PHONE) for _ in range(SIGN_IN_PAIR.free + 1)]
    assert waits == [0] * SIGN_IN_PAIR.free + [1]


async def test_a_try_that_another_row_refuses_is_not_counted(limited: Limited) -> None:
    """Being put off for the name does not use up one's own free tries."""
    host, clock = limited
    for number in range(40):
        await wrong(host, f"203.0.{number}.1")
    for _ in range(10):
        assert await wrong(host, _HOME) > 0
    clock.now += SIGN_IN_NAME.longest_wait
    counted = await guard.check(host.env, _HOME, "maria")
    assert (counted.tries[0].row, counted.verdicts[0].failures) == (SIGN_IN_PAIR, 1)


async def test_many_failures_raise_events_without_names(limited: Limited) -> None:
    """At the last free one and at each doubling, by pseudonym."""
    host, clock = limited
    for _ in range(SIGN_IN_PAIR.free * 4):
        while await wrong(host, _HOME, "maria-canary"):
            clock.now += 60
    told = [event for event in host.events() if event["event"] == "sign_in_failures"]
    assert told[0]["failures"] == SIGN_IN_PAIR.free
    assert told[0]["counted_by"] == "sign_in_pair"
    assert 2 <= len(told) <= 6
    assert "canary" not in "".join(host.log)
    assert _HOME not in "".join(host.log)


async def test_it_is_off_where_limits_are(host: RunningHost) -> None:
    """By default a developer may mistype as often as they like."""
    assert {await wrong(host, "127.0.0.1") for _ in range(100)} == {0}


@given(
    row=st.sampled_from(SLOW_DOWNS),
    steps=st.lists(st.floats(0, 2000), min_size=1, max_size=200),
)
def test_waits_are_bounded_and_kept_waits_are_enough(row: SlowDown, steps: list[float]) -> None:
    """Never longer than the row says, whatever was tried; who waits is let in."""
    kept, now = Failures(), 1e9
    for step in steps:
        now += step
        verdict, kept = step_attempt(row, kept, now)
        assert 0 <= verdict.wait <= row.longest_wait
        if verdict.wait:
            assert step_attempt(row, kept, now + verdict.wait + 1e-6)[0].wait == 0
