"""KV on Redis while the server dies, sleeps, is full, or the wire to it is cut."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kv import redis_lane, redis_pipe
from kv.checks import KVUnavailable
from kv.contract import KVError, KVNamespace, KVPut
from kv.redis import open_namespace
from tests.support.end_of_run import TOLD
from tests.support.redis_server import DURABLE, RedisServer, redis_server
from tests.support.waiting import PATIENCE, until
from tests.support.wire import Wire, wire_to

SLOWEST_REFUSAL = redis_lane.PATIENCE + redis_pipe.ANSWER_SECONDS + 3

AT_ONCE = redis_lane.PATIENCE
"""Whoever waits for Redis waits that long at least; a busy machine does not count."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that may be harmed; what it acknowledged is on its disk."""
    with redis_server(tmp_path / "redis", *DURABLE) as running:
        yield running


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of half a second, so that tests need not wait two."""
    monkeypatch.setattr(redis_lane, "PATIENCE", 0.5)
    monkeypatch.setattr(redis_lane, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(redis_pipe, "ANSWER_SECONDS", 0.5)


@pytest.fixture
async def kv(server: RedisServer) -> AsyncIterator[KVNamespace]:
    """A namespace on that server."""
    namespace = await open_namespace(server.url, "TEST_KV", time.time)
    yield namespace
    await namespace.close()


@pytest.fixture
async def wire(server: RedisServer) -> AsyncIterator[Wire]:
    """A wire to that server."""
    async with wire_to(server.port) as between:
        yield between


@pytest.fixture
async def wired(wire: Wire) -> AsyncIterator[KVNamespace]:
    """A namespace at the other end of the wire."""
    url = f"redis://127.0.0.1:{wire.port}"
    namespace = await open_namespace(url, "TEST_KV", time.time)
    yield namespace
    await namespace.close()


async def until_it_works(kv: KVNamespace) -> None:
    """Wait until the namespace reads and writes again."""

    async def works() -> bool:
        try:
            await kv.put("works", "again")
            return await kv.get("works") == "again"
        except KVUnavailable:
            return False

    await until(works)


async def refused_within(work: asyncio.Task[object], seconds: float) -> float:
    """Expect that *work* is refused as unavailable in time; return how long it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds + 5):
        with pytest.raises(KVUnavailable):
            await work
    assert time.monotonic() - began < seconds
    return time.monotonic() - began


@pytest.mark.parametrize("pause", [0.3, 3.0])
async def test_every_acknowledged_write_is_found_after_a_crash(
    server: RedisServer, kv: KVNamespace, pause: float
) -> None:
    """Killed and restarted during 1,000 writes: none that was acknowledged is missing."""
    acknowledged: list[str] = []
    refused: list[str] = []
    names = iter(f"key/{number:04d}" for number in range(1000))

    async def writer() -> None:
        for name in names:
            try:
                if hash(name) % 5:
                    await kv.put(name, name * 50)
                else:
                    await kv.put_many([KVPut(name, name * 50, metadata=name)])
                acknowledged.append(name)
            except KVUnavailable:
                refused.append(name)
                await asyncio.sleep(0.05)

    writers = [asyncio.create_task(writer()) for _ in range(8)]
    while len(acknowledged) < 400:
        await asyncio.sleep(0)
    server.kill()
    await asyncio.sleep(pause)
    await asyncio.to_thread(server.start)
    await asyncio.gather(*writers)

    await until_it_works(kv)
    found = [name for name in acknowledged if await kv.get(name) == name * 50]
    listed = set()
    cursor = None
    while cursor is not None or not listed:
        page = await kv.list(prefix="key/", cursor=cursor)
        listed |= {key.name for key in page.keys}
        cursor = page.cursor
    TOLD.append(
        f"redis killed for {pause} s during 1,000 writes: {len(acknowledged)} acknowledged, "
        f"{len(found)} of them found; {len(refused)} refused"
    )
    assert len(acknowledged) + len(refused) == 1000
    assert found == acknowledged
    assert set(acknowledged) <= listed
    # A record without its name in the list, or the other way round, would be half a write.
    for name in refused:
        assert (await kv.get(name) is not None) == (name in listed)


async def test_while_redis_is_away_refusals_come_at_once_and_it_recovers_by_itself(
    server: RedisServer, kv: KVNamespace
) -> None:
    """The first callers wait a little for a restart; later ones are not kept waiting."""
    await kv.put("k", "v")
    server.kill()

    await refused_within(asyncio.create_task(kv.get("k")), SLOWEST_REFUSAL)
    for work in (kv.get("k"), kv.put("k", "w"), kv.list(), kv.delete("k"), kv.get_many(["k"])):
        await refused_within(asyncio.create_task(work), AT_ONCE)

    await asyncio.to_thread(server.start)
    await until_it_works(kv)
    assert await kv.get("k") == "v"


async def test_a_quick_restart_is_only_a_delay_for_those_who_wait(
    server: RedisServer, kv: KVNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads and writes that begin while Redis restarts are answered, not refused."""
    monkeypatch.setattr(redis_lane, "PATIENCE", PATIENCE)  # quick is what the machine can do
    await kv.put("k", "v")
    server.kill()
    await asyncio.sleep(0.05)
    reading = asyncio.create_task(kv.get("k"))
    writing = asyncio.create_task(kv.put("new", "n"))

    await asyncio.to_thread(server.start)

    assert await reading == "v"
    await writing
    assert await kv.get("new") == "n"


async def test_a_server_that_stands_still_is_not_waited_for(
    server: RedisServer, kv: KVNamespace
) -> None:
    """Frozen, it accepts connections and answers nothing: refusals, then work as before."""
    await kv.put("k", "v")
    server.freeze()
    began = time.monotonic()
    works = [kv.get("k"), kv.put("k", "w"), kv.put("large", bytes(3_000_000)), kv.list()]

    outcomes = await asyncio.gather(*works, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [KVUnavailable] * 4
    assert time.monotonic() - began < SLOWEST_REFUSAL
    await refused_within(asyncio.create_task(kv.get("k")), AT_ONCE)
    server.thaw()
    await until_it_works(kv)
    assert await kv.get("k") in ("v", "w")


async def test_a_slow_server_is_waited_for(server: RedisServer, kv: KVNamespace) -> None:
    """A second of silence is no outage."""
    await kv.put("k", "v")
    server.freeze()
    reading = asyncio.create_task(kv.get("k"))
    await asyncio.sleep(1)
    assert not reading.done()
    server.thaw()

    assert await reading == "v"


@pytest.mark.usefixtures("in_a_hurry")
async def test_a_write_given_up_does_not_come_later_than_the_next(
    wire: Wire, wired: KVNamespace, kv: KVNamespace
) -> None:
    """What a network kept back of a dead connection cannot undo an acknowledged write."""
    release = wire.delay()
    await refused_within(asyncio.create_task(wired.put("k", "given up")), 2)
    await until_it_works(wired)
    await wired.put("k", "acknowledged")

    release.set()
    await asyncio.sleep(0.4)

    assert await kv.get("k") == "acknowledged"


async def test_a_value_cut_off_halfway_is_no_value(wire: Wire, wired: KVNamespace) -> None:
    """A write whose wire was cut is refused and leaves the old value; the next one arrives."""
    await wired.put("k", "old")
    wire.cut_up = 1_000_000

    with pytest.raises(KVUnavailable):
        await wired.put("k", bytes(2_000_000), metadata="new")

    found = await wired.get_with_metadata("k")
    assert (found.value, found.metadata) == ("old", None)
    await wired.put("k", "new")
    assert await wired.get("k") == "new"


@pytest.mark.parametrize("size", [200_000, 2_000_000])
async def test_a_read_cut_off_halfway_is_read_again(
    wire: Wire, wired: KVNamespace, size: int
) -> None:
    """The caller gets the whole value and learns nothing of the cut."""
    value = random.Random(1).randbytes(size)
    await wired.put("k", value)
    wire.cut_down = size // 2

    assert await wired.get("k", "bytes") == value
    assert wire.cut_down is None


async def test_connections_that_were_ended_while_idle_do_not_matter(
    server: RedisServer, kv: KVNamespace
) -> None:
    """A firewall or an administrator ends them; the next calls work, writes too."""
    await kv.put("k", "v")
    for _ in range(3):
        server.command("CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(0.05)
        await kv.put("k", "w")
        assert await kv.get("k") == "w"


async def test_a_full_memory_is_a_state_and_not_an_error(
    server: RedisServer, kv: KVNamespace
) -> None:
    """Writes are refused with 503, all or nothing; reads and deletes go on; then writes too."""
    await kv.put_many(KVPut(f"k{i}", "v", metadata=i) for i in range(5))
    server.command("CONFIG", "SET", "maxmemory", "1")

    for work in (kv.put("k0", "new"), kv.put_many([KVPut("k1", "new"), KVPut("x", "new")])):
        with pytest.raises(KVUnavailable, match="Redis is out of memory"):
            await work

    assert await kv.get("k0") == "v"
    await kv.delete("k4")
    assert [key.name for key in (await kv.list()).keys] == ["k0", "k1", "k2", "k3"]
    server.command("CONFIG", "SET", "maxmemory", "0")
    await kv.put("k0", "new")
    assert await kv.get("k0") == "new"


async def test_a_full_disk_is_a_state_and_not_an_error(tmp_path: Path) -> None:
    """Redis that cannot write its file refuses writes; what it acknowledged outlives it."""
    options = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
    with redis_server(tmp_path / "redis", *options) as server:
        kv = await open_namespace(server.url, "TEST_KV", time.time)
        acknowledged = []
        server.fill_disk()
        for number in range(200):
            try:
                await kv.put(f"k{number}", "v" * 1000)
                acknowledged.append(f"k{number}")
            except KVUnavailable as error:
                assert error.text == "Redis cannot write to its disk"  # noqa: PT017
                break
        assert len(acknowledged) < 200
        with pytest.raises(KVUnavailable, match="cannot write to its disk"):
            await kv.delete(acknowledged[0])
        assert await kv.get(acknowledged[-1]) == "v" * 1000
        server.free_disk()
        await until_it_works(kv)
        server.stop()
        server.start()
        await until_it_works(kv)
        assert [name for name in acknowledged if await kv.get(name) is None] == []
        await kv.close()


async def test_a_replica_refuses_writes_until_it_is_a_master(
    server: RedisServer, kv: KVNamespace
) -> None:
    """After a failover: 503 while the server only reads, and work goes on by itself after."""
    await kv.put("k", "v")
    server.command("REPLICAOF", "127.0.0.1", "1")

    for work in (kv.put("k", "w"), kv.delete("k")):
        with pytest.raises(KVUnavailable, match="read-only replica"):
            await work
        await asyncio.sleep(0.1)  # the connection is made anew, as the master may be elsewhere

    assert await kv.get("k") == "v"
    server.command("REPLICAOF", "NO", "ONE")
    await until_it_works(kv)


@pytest.mark.usefixtures("in_a_hurry")
async def test_a_password_that_was_changed_is_a_state_and_not_a_crash(
    server: RedisServer, kv: KVNamespace
) -> None:
    """New connections are refused: 503, and work goes on when the password is right again."""
    await kv.put("k", "v")
    server.command("CLIENT", "KILL", "TYPE", "normal")
    server.command("CONFIG", "SET", "requirepass", "changed")

    await refused_within(asyncio.create_task(kv.get("k")), SLOWEST_REFUSAL)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    await until_it_works(kv)


async def test_callers_that_give_up_do_not_shift_the_answers(kv: KVNamespace) -> None:
    """Reads cancelled at any moment leave every other caller with the answer to its question."""
    await kv.put_many(KVPut(f"k{i}", str(i)) for i in range(300))
    dice = random.Random(3)

    async def one(i: int) -> bool:
        return await kv.get(f"k{i}") == str(i)

    for _ in range(5):
        tasks = [asyncio.create_task(one(i)) for i in range(300)]
        for _ in range(4):
            await asyncio.sleep(0)
            for task in dice.sample(tasks, 40):
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes.count(True) > 100
        assert all(each is True or isinstance(each, asyncio.CancelledError) for each in outcomes)


async def test_what_others_left_under_our_names_is_no_crash(
    server: RedisServer, kv: KVNamespace
) -> None:
    """A foreign record fails its own read with an error of the store, and nothing else."""
    await kv.put("a", "1")
    await kv.put("b", "2")
    server.command("SET", "edgekeep:{TEST_KV}:v:a", "not one of ours")
    server.command("DEL", "edgekeep:{TEST_KV}:v:b")
    server.command("LPUSH", "edgekeep:{TEST_KV}:v:c", "a list")

    for key in ("a", "c"):
        with pytest.raises(KVError, match="KV GET failed: 500"):
            await kv.get(key)
    assert await kv.get("b") is None
    assert (await kv.list()).keys == []
    await kv.put("a", "3")
    assert await kv.get("a") == "3"
