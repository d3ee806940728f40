"""Rate limits: never more than the row says, told with Retry-After, spared where nobody is hurt."""

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost, running_host
from worker.env import Env
from worker.identity.caller import ANYONE, Caller
from worker.limiter.counting import ProcessLimiter, address_key, spared, step_bucket
from worker.limiter.stored import DatabaseLimiter
from worker.limits import GENERAL, RATE_LIMITS, SIGN_IN, SLOW_DOWNS, WRITES, RateLimit
from worker.route_table import Route
from worker.routes import ROUTES
from worker.settings import Settings
from worker.web import Request, Response

_FEW = RateLimit("few", 2, 3, "address")
_MINE = RateLimit("mine", 2, 3, "account")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


async def _fine(request: Request, caller: Caller, env: Env) -> Response:
    return Response.json({"ok": True})


DOORS = [
    Route("GET", "/few", _fine, ANYONE, limit=_FEW),
    Route("POST", "/few", _fine, ANYONE),
    Route("GET", "/mine", _fine, ANYONE, limit=_MINE),
    Route("GET", "/free", _fine, ANYONE),
]


def freeze(host: RunningHost) -> Clock:
    """Let the limiter of *host* go by a clock of the test; what was counted stays."""
    clock = Clock()
    host.env.limiter = DatabaseLimiter(lambda: host.env.db, clock, ProcessLimiter(clock))
    return clock


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 5), min_size=1, max_size=120),
)
def test_a_bucket_never_gives_more_than_rate_times_time_and_its_burst(
    rate: float, burst: int, steps: list[float]
) -> None:
    """Over any stretch of time; a wait that is kept is always enough; a full bucket gives all."""
    row = RateLimit("row", rate, burst, "address")
    now, full_at = 1e9, 0.0
    given_at: list[float] = []
    for step in steps:
        now += step
        wait, full_at = step_bucket(row, full_at, now)
        if wait == 0:
            given_at.append(now)
            continue
        assert 0 < wait <= 1 / rate + 1e-6
        enough, _ = step_bucket(row, full_at, now + wait)
        assert enough == 0
    for first, start in enumerate(given_at):
        for last in range(first, len(given_at)):
            passed = given_at[last] - start
            assert last - first + 1 <= rate * passed + burst + 1e-3
    assert sum(1 for moment in given_at if moment == given_at[0]) <= burst


@given(back=st.floats(0, 1e9), burst=st.integers(1, 20))
def test_a_clock_that_is_set_back_shuts_nobody_out(back: float, burst: int) -> None:
    """The wait is at most that of an empty bucket."""
    row = RateLimit("row", 1, burst, "address")
    full_at = 0.0
    for _ in range(burst + 1):
        _, full_at = step_bucket(row, full_at, 1e9)
    wait, _ = step_bucket(row, full_at, 1e9 - back)
    assert wait <= 1 + 1e-6


async def test_a_door_with_a_row_is_limited_by_address(tmp_path: Path) -> None:
    """The burst passes, then 429 with when to come back; after that it goes on."""
    async with running_host(tmp_path / "state", DOORS, RATE_LIMITS="on") as host:
        clock = freeze(host)
        assert [(await host.get("/few")).status for _ in range(4)] == [200, 200, 200, 429]
        answer = await host.get("/few")
        assert_problem(answer, 429, "rate_limited")
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["RateLimit-Policy"] == '"few";q=3;w=2'
        assert answer.headers["RateLimit"] == '"few";r=0;t=1'
        assert (await host.ask("HEAD", "/few")).status == 429
        for door in ("/free", "/mine"):
            assert (await host.get(door)).status == 200
        assert (await host.ask("POST", "/few")).status == 200
        clock.now += 0.5
        assert [(await host.get("/few")).status for _ in range(2)] == [200, 429]
        clock.now += 3600
        assert [(await host.get("/few")).status for _ in range(4)] == [200, 200, 200, 429]


async def test_a_row_by_account_follows_the_account(tmp_path: Path) -> None:
    """Two accounts at one address have a bucket each; strangers share that of the address."""
    async with running_host(tmp_path / "state", DOORS, RATE_LIMITS="on") as host:
        freeze(host)
        for asker in (host.bearer(subject="a"), host.bearer(subject="b"), {}):
            statuses = [(await host.get("/mine", headers=asker)).status for _ in range(4)]
            assert statuses == [200, 200, 200, 429]
        bad = {"Authorization": "Bearer nonsense"}
        assert (await host.get("/mine", headers=bad)).status == 401


async def test_every_request_counts_for_the_general_row(tmp_path: Path) -> None:
    """Doors, refusals, unknown paths and methods; the address, not the credential."""
    async with running_host(tmp_path / "state", DOORS, RATE_LIMITS="on") as host:
        freeze(host)
        asked = 0
        while asked < GENERAL.burst:
            for method, path in (("GET", "/free"), ("GET", "/nope"), ("OPTIONS", "/free")):
                answer = await host.ask(method, path, headers=host.bearer(subject=str(asked)))
                assert answer.status in (200, 204, 404)
                asked += 1
                if asked == GENERAL.burst:
                    break
        for path in ("/free", "/nope"):
            assert_problem(await host.get(path), 429, "rate_limited")


async def test_requests_at_the_same_time_do_not_slip_through(tmp_path: Path) -> None:
    """Of thirty at once as many pass as the row gives."""
    async with running_host(tmp_path / "state", DOORS, RATE_LIMITS="on") as host:
        freeze(host)
        answers = await asyncio.gather(*(host.get("/few") for _ in range(30)))
        assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 27


@pytest.mark.parametrize(
    ("mode", "environment", "address", "spares"),
    [
        ("auto", "development", "127.0.0.1", True),
        ("auto", "development", "127.1.2.3", True),
        ("auto", "development", "::1", True),
        ("auto", "development", "192.168.1.7", False),
        ("auto", "development", "1.127.0.1", False),
        ("auto", "production", "127.0.0.1", False),
        ("on", "development", "127.0.0.1", False),
        ("off", "production", "203.0.113.9", True),
    ],
)
def test_whom_the_setting_spares(mode: str, environment: str, address: str, spares: bool) -> None:
    """By default nobody but a developer's own machine."""
    from tests.support.running_host import SECRETS

    values = {**SECRETS, "RATE_LIMITS": mode, "ENVIRONMENT": environment}
    assert spared(Settings.load(values), address) is spares


async def test_a_developer_at_home_is_spared(tmp_path: Path) -> None:
    """The default: no limit between a browser and the host on the same machine."""
    async with running_host(tmp_path / "state", DOORS) as host:
        assert {(await host.get("/few")).status for _ in range(20)} == {200}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.1", "203.0.113.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:DB8:1:2:0:0:0:1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.1", "203.0.113.1", True),
        ("::ffff:203.0.113.1", "::ffff:203.0.113.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_an_ipv6_customer_is_one_address(one: str, other: str, same: bool) -> None:
    """A /64 counts as one; IPv4 counts as itself in every spelling."""
    assert (address_key(one) == address_key(other)) is same


async def test_memory_is_bounded_and_the_longest_unused_leave() -> None:
    """As many keys as it may have; who asks often stays."""
    clock = Clock()
    limiter = ProcessLimiter(clock, keys=100)
    row = RateLimit("row", 1, 1, "address")
    assert await limiter.take(row, "often") == 0
    for number in range(1000):
        await limiter.take(row, f"key{number}")
        assert await limiter.take(row, "often") > 0
    assert len(limiter._buckets["row"]) == 100  # noqa: SLF001 - what it remembers shows nowhere else
    assert await limiter.take(row, "key0") == 0


def test_doors_that_sign_in_or_write_have_their_rows() -> None:
    """Where passwords, codes and mail are spent, and where something is stored."""
    signs_in = (
        "/v1/users",
        "/v1/sessions",
        "/auth/login",
        "/auth/register",
    )
    for route in ROUTES:
        place = f"{route.method} {route.path}"
        if route.method == "POST" and (
            route.path in signs_in
            or route.path.startswith(("/api/auth/magic-link", "/api/auth/exchange"))
        ):
            assert route.limit is SIGN_IN, place
        if place in ("POST /v1/backup", "POST /v1/attachments") or (
            route.method != "GET" and "/keys" in route.path
        ):
            assert route.limit is WRITES, place


def test_rows_have_names_of_their_own() -> None:
    """Names are keys of the store and of the platform's bindings."""
    names = [row.name for row in (*RATE_LIMITS, *SLOW_DOWNS)]
    assert len(set(names)) == len(names)
