"""
Rate limits at the edge: sign-ins counted by an actor, all else by the platform; safe headers.

Actors run on the laptop's rooms here, anew for each request (tests/edge/inside/main.py): what they
keep is proven, that they take turns is not. That is proven by tests/core/test_sign_in_guard.py.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import ClientSession

from tests.core.test_headers import carries
from tests.edge.conftest import edge_host
from tests.edge.edge_host import EdgeHost
from tests.edge.workerd import Workerd, running, worker_options
from tests.support.problems import assert_problem
from tests.support.running_host import SECRETS, Answer
from worker.limits import SIGN_IN, SIGN_IN_PAIR

_PLATFORM = 60


@pytest.fixture(scope="module")
def limited(node: None) -> Iterator[Workerd]:
    """workerd with the limits on and the platform's binding for the general row."""
    options = worker_options({**SECRETS, "PROFILE_STORE": "kv", "RATE_LIMITS": "on"}, 0)
    bound = {"simple": {"limit": _PLATFORM, "period": 60}}
    with running({**options, "ratelimits": {"RATE_LIMIT_GENERAL": bound}}) as started:
        yield started


@pytest.fixture
async def host(limited: Workerd) -> AsyncIterator[EdgeHost]:
    """The Worker there, with empty stores."""
    async with edge_host(limited) as started:
        yield started


async def ask(host: EdgeHost, path: str, address: str, **body: str) -> Answer:
    """Ask as the client at *address*: the platform names it in a header of its own."""
    method = "POST" if body else "GET"
    sent = {"CF-Connecting-IP": address, "X-Forwarded-For": "203.0.113.99"}
    return await host.ask(method, path, headers=sent, json=body or None)


async def test_sign_ins_are_counted_in_one_place(host: EdgeHost) -> None:
    """The burst of the row passes, the next is refused; another address is let in."""
    statuses = [
        (await ask(host, "/v1/users", "198.51.100.1", username="x")).status
        for _ in range(SIGN_IN.burst + 5)
    ]
    refused = statuses.index(429)
    # Time goes on meanwhile, and gives some back.
    assert refused >= SIGN_IN.burst
    answer = await ask(host, "/v1/users", "198.51.100.2", username="x")
    assert answer.status == 400
    carries(answer.headers, server=False)


async def test_wrong_passwords_slow_down(host: EdgeHost) -> None:
    """As many tries for one name as are free are judged; then one has to wait."""
    body = {"username": "nobody", "password": "wrong password 17"}

    async def attempt() -> Answer:
        return await ask(host, "/v1/sessions", "198.51.100.3", **body)

    for _ in range(SIGN_IN_PAIR.free):
        assert (await attempt()).status == 401
    put_off = await attempt()
    for _ in range(6):
        # The first waits are short: a busy machine may have waited already.
        put_off = await attempt() if put_off.status == 401 else put_off
    document = assert_problem(put_off, 429, "rate_limited")
    assert int(put_off.headers["Retry-After"]) >= 1
    assert "nobody" not in str(document)


async def test_all_else_is_counted_by_the_platform(host: EdgeHost) -> None:
    """Beyond what its binding allows: refused until its period is over."""
    # More than one period takes and less than would last for two, so that one is seen to be full.
    answers = [ask(host, "/healthz", "198.51.100.4") for _ in range(_PLATFORM * 2 + 1)]
    statuses = [answer.status for answer in await asyncio.gather(*answers)]
    assert statuses.count(200) <= _PLATFORM * 2
    assert 429 in statuses
    refused = await ask(host, "/healthz", "198.51.100.4")
    if refused.status == 429:
        assert refused.headers["Retry-After"] == "10"
    assert (await ask(host, "/healthz", "198.51.100.5")).status == 200


async def test_every_answer_of_the_edge_carries_the_safe_headers(
    workerd: Workerd, session: ClientSession
) -> None:
    """Doors, refusals, what is not there, pages with their own policy."""
    for path in ("/healthz", "/nope", "/v1/backup", "/api/profiles"):
        async with session.get(workerd.url.rstrip("/") + path) as answer:
            carries(answer.headers, server=False)
    async with session.get(workerd.url.rstrip("/") + "/docs") as page:
        carries(page.headers, "Content-Security-Policy", server=False)
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """A client."""
    async with ClientSession() as opened:
        yield opened
