"""The host with KV on Redis, through its doors: away and back, full, shared with another host."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kv import redis_lane
from tests.support.problems import assert_problem
from tests.support.profiles import ids, line, many, ndjson
from tests.support.redis_server import DURABLE, RedisServer, redis_server
from tests.support.running_host import ROOT, SECRETS, Answer, RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker.entry.config import ConfigError, load_config
from worker.entry.open_env import open_env

ITEM = f"/api/profiles/item?id={ids(1)[0]}"
PASSWORD = "hunter2-not-to-be-seen"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis with a password that may be harmed."""
    with redis_server(tmp_path / "redis", *DURABLE, "--requirepass", PASSWORD) as running:
        yield running


@pytest.fixture
async def host(tmp_path: Path, server: RedisServer) -> AsyncIterator[RunningHost]:
    """A running host whose KV lies on that Redis."""
    async with running_host(tmp_path / "state", EDGEKEEP_KV=url_of(server)) as running:
        yield running


def url_of(server: RedisServer) -> str:
    """The server's URL with the password."""
    return f"redis://:{PASSWORD}@127.0.0.1:{server.port}"


# For a busy machine: thirty questions one after the other would wait a minute.
SLACK = 20


async def until(host: RunningHost, path: str, status: int) -> Answer:
    """Ask until the door answers with *status*."""
    async with asyncio.timeout(PATIENCE):
        while (answer := await host.get(path)).status != status:
            await asyncio.sleep(0.02)
    return answer


async def test_redis_away_is_a_problem_and_not_a_hang(
    host: RunningHost, server: RedisServer
) -> None:
    """503 with Retry-After from every door that needs KV, readyz too; back without a restart."""
    assert (await host.send_profiles(many(20))).status == 200
    assert (await host.get("/readyz")).status == 200
    assert (await host.get(ITEM)).status == 200

    server.kill()
    began = time.monotonic()
    answers = await asyncio.gather(*(host.get(ITEM) for _ in range(30)))
    assert time.monotonic() - began < redis_lane.PATIENCE + SLACK
    for answer in answers:
        assert_problem(answer, 503, "storage_unavailable")
        assert answer.headers["Retry-After"] == "2"
    began = time.monotonic()
    for path in (ITEM, "/readyz", "/api/profiles", "/api/profiles/count"):
        assert_problem(await host.get(path), 503, "storage_unavailable")
    reasons = {event.get("reason") for event in host.events() if "exception" in event}
    assert "The store is not available" in reasons
    answer = await host.send_profiles(many(5))
    assert answer.status == 503, answer.body
    assert time.monotonic() - began < 5 * redis_lane.PATIENCE
    assert (await host.get("/healthz")).status == 200

    await asyncio.to_thread(server.start)
    assert (await until(host, ITEM, 200)).json()["profile_id"]
    assert (await host.get("/readyz")).status == 200
    assert await host.total() == 20
    assert (await host.send_profiles(many(25))).status == 200
    assert await host.total() == 25
    assert_no_secret(host)


async def test_a_full_redis_refuses_imports_and_serves_what_it_has(
    host: RunningHost, server: RedisServer
) -> None:
    """Out of memory: an import answers 503, reads go on, and later the same import is stored."""
    await host.send_profiles(many(20))
    full(server, "1")

    refused = await host.send_profiles(many(40))

    assert refused.status == 503, refused.body
    assert (await host.get(ITEM)).status == 200
    full(server, "0")
    assert (await host.send_profiles(many(40))).status == 200
    assert await host.total() == 40
    assert_no_secret(host)


async def test_writes_before_and_after_a_crash_under_load_are_all_there(
    host: RunningHost, server: RedisServer
) -> None:
    """Imports run while Redis is killed and restarted: what answered 200 is found, line by line."""
    stored: set[str] = set()
    statuses: list[int] = []

    async def importer(turn: int) -> None:
        for number in range(12):
            names = [f"usr_{turn}x{number:02d}x{at:02d}" for at in range(30)]
            answer = await host.send_profiles(ndjson(line(name) for name in names))
            statuses.append(answer.status)
            if answer.status == 200:
                stored.update(names)

    importers = [asyncio.create_task(importer(turn)) for turn in range(3)]
    while len(statuses) < 6:
        await asyncio.sleep(0.005)
    server.kill()
    await asyncio.sleep(0.2)
    await asyncio.to_thread(server.start)
    await asyncio.gather(*importers)

    assert set(statuses) <= {200, 503}
    assert statuses.count(200) > 6
    await until(host, "/readyz", 200)
    found = {each["profile_id"] for each in await host.stored()}
    assert stored <= found


async def test_two_hosts_share_what_lies_in_kv(tmp_path: Path, server: RedisServer) -> None:
    """What one host imported the other one serves, with its report, at once."""
    async with contextlib.AsyncExitStack() as exits:
        one, two = [
            await exits.enter_async_context(
                running_host(tmp_path / name, EDGEKEEP_KV=url_of(server))
            )
            for name in ("one", "two")
        ]
        answer = await one.send_profiles(many(30), "?id=imp_20260101000000_shared")
        assert answer.status == 200

        assert await two.total() == 30
        assert (await two.report("imp_20260101000000_shared"))["profiles_stored"] == 30
        assert (await two.stored()) == (await one.stored())


async def test_a_start_without_redis_says_so_without_the_password(tmp_path: Path) -> None:
    """The host does not start, and the sentence names the variable and the address only."""
    config = load_config(ROOT / "wrangler_compat.toml")
    with redis_server(tmp_path / "redis", "--requirepass", "another") as server:
        variables = {**config.variables, **SECRETS, "EDGEKEEP_KV": url_of(server)}
        with pytest.raises(ConfigError) as caught:
            await open_env(config, tmp_path / "state", variables, lambda _: None)
    assert str(caught.value) == (
        f"EDGEKEEP_KV: Redis at 127.0.0.1:{server.port} refuses the user or the password."
    )


def full(server: RedisServer, limit: str) -> None:
    """Limit the server's memory to *limit* bytes (0 lifts it)."""
    server.command("CONFIG", "SET", "maxmemory", limit)


def assert_no_secret(host: RunningHost) -> None:
    """The password is in no line of the log."""
    host.events()
    assert PASSWORD not in "".join(host.log)
