"""The doors of sign-in under attack: wrong tries slow down, at the same time too, and are told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.core.test_rate_limits import freeze
from tests.support.accounts import PASSWORD, post, sign_up
from tests.support.problems import assert_problem
from tests.support.running_host import Answer, RunningHost, running_host
from worker.limits import SIGN_IN, SIGN_IN_PAIR


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host that counts, behind a proxy, with one account."""
    async with running_host(
        tmp_path / "state", RATE_LIMITS="on", TRUSTED_PROXIES="127.0.0.1"
    ) as host:
        await sign_up(host)
        # Whoever signed up is counted no more.
        freeze(host)
        yield host


async def attempt(
    host: RunningHost, password: str, address: str, name: str = "alice", door: str = "/v1/sessions"
) -> Answer:
    """Sign in from *address*."""
    return await host.ask(
        "POST",
        door,
        json={"username": name, "password": password},
        headers={"X-Forwarded-For": address},
    )


async def test_twenty_wrong_tries_at_once_do_not_slip_through(limited: RunningHost) -> None:
    """As many as are free are judged, however the name is spelt; then the right one waits."""
    names = ["alice", "ALICE", "Alice", "\uff41lice"]
    tries = [
        attempt(limited, f"wrong password {n}", "198.51.100.7", names[n % 4]) for n in range(20)
    ]
    answers = await asyncio.gather(*tries)

    statuses = [answer.status for answer in answers]
    assert statuses.count(401) == SIGN_IN_PAIR.free
    assert statuses.count(429) == 20 - SIGN_IN_PAIR.free
    clock = freeze(limited)
    clock.now += 24 * 3600
    for _ in range(SIGN_IN_PAIR.free):
        assert (await attempt(limited, "wrong", "198.51.100.7")).status == 401
    put_off = await attempt(limited, PASSWORD, "198.51.100.7")
    assert_problem(put_off, 429, "rate_limited")
    clock.now += int(put_off.headers["Retry-After"])
    assert (await attempt(limited, PASSWORD, "198.51.100.7")).status == 200


async def test_another_door_is_the_same_sign_in(limited: RunningHost) -> None:
    """The day-one name does not double the tries."""
    judged = 0
    for number in range(SIGN_IN_PAIR.free * 2):
        door = ("/v1/sessions", "/auth/login")[number % 2]
        judged += (await attempt(limited, "wrong", "198.51.100.7", door=door)).status == 401
    assert judged == SIGN_IN_PAIR.free


async def test_a_good_sign_in_is_not_held_up_by_a_few_slips(limited: RunningHost) -> None:
    """Two slips, then the password: in, and the slips are forgotten."""
    clock = freeze(limited)
    for _ in range(4):
        for _ in range(2):
            assert (await attempt(limited, "wrong", "198.51.100.7")).status == 401
        assert (await attempt(limited, PASSWORD, "198.51.100.7")).status == 200
        # So that the limit of the door itself does not count.
        clock.now += SIGN_IN.burst
    assert (await attempt(limited, PASSWORD, "198.51.100.7")).status == 200


async def test_failures_are_told_without_names_or_addresses(limited: RunningHost) -> None:
    """The event that an operator watches."""
    for _ in range(SIGN_IN_PAIR.free):
        await attempt(limited, "wrong", "198.51.100.7")
    [event] = [one for one in limited.events() if one["event"] == "sign_in_failures"]
    assert (event["level"], event["counted_by"], event["failures"]) == (
        "warning",
        "sign_in_pair",
        5,
    )
    text = "".join(limited.log)
    for secret in ("alice", "198.51.100.7", "wrong", PASSWORD):
        assert secret not in text


async def test_a_door_that_was_too_busy_counts_nothing(limited: RunningHost) -> None:
    """What nobody judged is no failure."""

    async def busy(secret: str, password: str) -> bool:
        from worker.errors import Busy

        raise Busy("Later.", headers={"Retry-After": "1"})

    crypto = limited.env.tools.crypto
    real, crypto.verify_password = crypto.verify_password, busy  # type: ignore[method-assign]
    for _ in range(SIGN_IN_PAIR.free + 3):
        assert (await attempt(limited, PASSWORD, "198.51.100.7")).status == 503
    crypto.verify_password = real  # type: ignore[method-assign]
    assert (await attempt(limited, PASSWORD, "198.51.100.7")).status == 200


async def test_signing_up_is_limited_by_address(limited: RunningHost) -> None:
    """A burst, then one a second; another address is not held up."""
    headers = {"X-Forwarded-For": "198.51.100.7"}
    statuses = [
        (await limited.ask("POST", "/v1/users", json={}, headers=headers)).status
        for _ in range(SIGN_IN.burst + 1)
    ]
    assert statuses == [400] * SIGN_IN.burst + [429]
    assert (await post(limited, "/v1/users")).status == 400


async def test_the_general_limit_is_not_met_by_a_page(limited: RunningHost) -> None:
    """A page that loads a hundred things at once."""
    headers = {"X-Forwarded-For": "198.51.100.7"}
    answers = [limited.get("/healthz", headers=headers) for _ in range(100)]
    assert {answer.status for answer in await asyncio.gather(*answers)} == {200}
