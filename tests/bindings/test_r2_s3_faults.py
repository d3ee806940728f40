"""
The S3 adapter while its server is killed, hangs, is full, or the network cuts connections.

Promised: an acknowledged object is there, whole; the old object stays when a put fails; a
reader sees an error and never a shorter object; nobody waits longer than the bound, and the
event loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from r2.contract import FixedLengthStream, R2Bucket, R2ObjectBody, R2Unavailable
from r2.minio import MinioBucket, S3Address, Timing, open_bucket
from r2.s3_objects import S3Objects
from r2.s3_pieces import Budget
from r2.s3_wire import Wire
from tests.support import s3_servers
from tests.support.tcp_proxy import Proxy, proxy_to
from tests.support.waiting import until

MIB = 1024 * 1024
SHORT = Timing(connect=0.5, read=0.5, patience=1.5)
# For a machine that is busy with other things: 42 calls one after the other would take a minute.
SLACK = 20


async def opened(address: S3Address, name: str, timing: Timing = SHORT) -> MinioBucket:
    """Open a bucket that gives up soon."""
    return await open_bucket(address, name, clock=time.time, random_bytes=os.urandom, timing=timing)


@asynccontextmanager
async def behind_proxy(server: str) -> AsyncIterator[tuple[MinioBucket, Proxy]]:
    """An empty bucket on *server*, every connection through a proxy."""
    running = s3_servers.shared(server)
    async with proxy_to(running.port) as proxy:
        # A cut shows at once. Giving up too soon would repeat a put that rclone still writes,
        # and rclone writes in place.
        name = s3_servers.fresh_name()
        bucket = await opened(running.address(port=proxy.port), name, Timing())
        yield bucket, proxy
        await bucket.close()


async def stream(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """Yield *data* in chunks of *size* bytes."""
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


async def read(bucket: R2Bucket, key: str) -> bytes:
    """Return the bytes of an object that is there."""
    found = await bucket.get(key)
    assert isinstance(found, R2ObjectBody)
    return await found.bytes()


@asynccontextmanager
async def loop_goes_on(longest: float = 0.25) -> AsyncIterator[None]:
    """
    Fail when the loop's thread works for longer than *longest* seconds without a turn, or takes
    hardly a turn (it waits). The clock on the wall is not asked: the machine may be busy.
    """
    gaps = [0.0]

    async def tick() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.01)
            gaps.append(time.thread_time() - began)

    ticking = asyncio.ensure_future(tick())
    try:
        yield
    finally:
        ticking.cancel()
    assert max(gaps) < longest
    assert len(gaps) > 10


async def test_what_was_acknowledged_survives_the_servers_death(tmp_path: Path) -> None:
    """
    The server is killed under load and started again: the load sees R2Unavailable only,
    every acknowledged object is whole, and the bucket works on without being opened anew.
    """
    server = s3_servers.rclone(tmp_path / "data")
    server.start()
    bucket = await opened(server.address(), "load")
    acknowledged: dict[str, bytes] = {}
    failures: list[Exception] = []
    stop = asyncio.Event()

    async def work(worker: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            key, data = f"{worker}/{turn}", os.urandom(1000 + (turn * 7919) % 90_000)
            if worker == 0:
                data = os.urandom(6 * MIB)
            try:
                await bucket.put(key, FixedLengthStream(stream(data), len(data)))
                acknowledged[key] = hashlib.md5(data).digest()
            except Exception as error:
                failures.append(error)
                await asyncio.sleep(0.05)

    workers = [asyncio.ensure_future(work(worker)) for worker in range(5)]
    try:
        await until(lambda: len(acknowledged) > 5)
        await asyncio.to_thread(server.kill)
        await until(lambda: bool(failures))
        await asyncio.to_thread(server.start)
        seen = len(acknowledged)
        await until(lambda: len(acknowledged) >= seen + 20)
    finally:
        stop.set()
        await asyncio.gather(*workers)
    patient = await opened(server.address(), "load", Timing())
    try:
        assert {type(error) for error in failures} == {R2Unavailable}
        for key, digest in acknowledged.items():
            assert hashlib.md5(await read(patient, key)).digest() == digest, key
    finally:
        await bucket.close()
        await patient.close()
        server.kill()


async def test_a_server_that_hangs_is_unavailable_within_the_bound(tmp_path: Path) -> None:
    """
    Every operation on a stopped server ends in R2Unavailable, even many more at once than
    there are threads, the loop goes on, and all is well when the server goes on.
    """
    server = s3_servers.rclone(tmp_path / "data")
    server.start()
    bucket = await opened(server.address(), "hangs")
    await bucket.put("k", "old")
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: bucket.get("k"),
            lambda: bucket.head("k"),
            lambda: bucket.put("k", "new"),
            lambda: bucket.put("k2", "new", only_if={"etag_does_not_match": "*"}),
            lambda: bucket.delete("k"),
            lambda: bucket.list(),
            lambda: bucket.create_multipart_upload("k"),
        ]
        async with loop_goes_on():
            began = time.monotonic()
            answers = await asyncio.gather(*(call() for call in calls * 6), return_exceptions=True)
            took = time.monotonic() - began
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert {type(answer) for answer in answers} == {R2Unavailable}
    # A put waits for its turn at the key, then for the server.
    assert took < 2 * SHORT.patience + SLACK
    await asyncio.sleep(SHORT.patience)
    await bucket.put("k", "newer")
    assert await read(bucket, "k") == b"newer"
    await bucket.close()
    server.kill()


@pytest.mark.parametrize("size", [500_000, 4 * MIB])
async def test_a_reader_sees_a_cut_as_an_error(size: int) -> None:
    """
    The connection breaks inside the body: R2Unavailable, and never a shorter object.
    """
    async with behind_proxy("rclone") as (bucket, proxy):
        data = os.urandom(size)
        await bucket.put("k", data)
        proxy.cut_down = 300_000

        with pytest.raises(R2Unavailable):
            await read(bucket, "k")

        assert proxy.cuts
        proxy.cut_down = None
        assert await read(bucket, "k") == data


@pytest.mark.parametrize(
    ("server", "size"), [("moto", 3 * MIB), ("moto", 12 * MIB), ("rclone", 12 * MIB)]
)
async def test_a_cut_on_the_way_up_leaves_the_old_object(server: str, size: int) -> None:
    """
    The connection breaks inside the body of a put: R2Unavailable, the old object stays, and
    the next put succeeds. (rclone writes small files in place and so loses the old one.)
    """
    async with behind_proxy(server) as (bucket, proxy):
        old = await bucket.put("k", "old")
        assert old is not None
        data = os.urandom(size)
        proxy.cut_up = 1_000_000

        with pytest.raises(R2Unavailable):
            await bucket.put("k", FixedLengthStream(stream(data), size))

        proxy.cut_up = None
        assert await read(bucket, "k") == b"old"
        found = await bucket.head("k")
        assert found is not None
        assert found.version == old.version
        assert await bucket.put("k", FixedLengthStream(stream(data), size)) is not None
        assert await read(bucket, "k") == data


@pytest.mark.parametrize("size", [1000, 6 * MIB])
async def test_a_full_server_is_unavailable_and_keeps_the_old_object(size: int) -> None:
    """
    A server without space answers 507: R2Unavailable at once; reading goes on.
    """
    async with behind_proxy("moto") as (bucket, proxy):
        await bucket.put("k", "old")
        proxy.is_full = True

        with pytest.raises(R2Unavailable):
            await bucket.put("k", FixedLengthStream(stream(bytes(size)), size))
        with pytest.raises(R2Unavailable):
            await bucket.create_multipart_upload("k")

        assert await read(bucket, "k") == b"old"
        proxy.is_full = False
        assert await bucket.put("k", bytes(size)) is not None


async def test_a_source_that_breaks_leaves_nothing_at_the_server() -> None:
    """
    A large body breaks off after some parts: the old object stays, the upload is aborted.
    """
    server = s3_servers.shared("moto")
    name = s3_servers.fresh_name()
    bucket = await opened(server.address(), name, Timing())
    await bucket.put("k", "old")

    async def breaking() -> AsyncIterator[bytes]:
        for _ in range(13):
            yield bytes(MIB)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await bucket.put("k", FixedLengthStream(breaking(), 20 * MIB))

    assert await read(bucket, "k") == b"old"
    wire = Wire(server.address(), name, Timing())
    await until(lambda: b"<UploadId>" not in wire.request("GET", query={"uploads": ""}).data)
    await wire.close()
    await bucket.close()


async def test_fifty_uploads_at_once_stay_within_flat_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    50 streams of 6 MiB, 300 MiB in all, arrive whole; beyond the budget pieces are in files.
    """
    budget = Budget()
    monkeypatch.setattr("r2.minio.Budget", lambda: budget)
    server = s3_servers.shared("rclone")
    bucket = await opened(server.address(), s3_servers.fresh_name(), Timing())
    size = 6 * MIB
    chunk = os.urandom(70_000)
    peak = before = _anonymous_memory()
    digest = hashlib.md5()

    async def source() -> AsyncIterator[bytes]:
        nonlocal peak
        for begin in range(0, size, len(chunk)):
            await asyncio.sleep(0)
            yield chunk[: size - begin]
        peak = max(peak, _anonymous_memory())

    for begin in range(0, size, len(chunk)):
        digest.update(chunk[: size - begin])
    stored = await asyncio.gather(
        *(bucket.put(f"k{i}", FixedLengthStream(source(), size)) for i in range(50))
    )

    assert {item.etag for item in stored if item is not None} == {digest.hexdigest()}
    assert budget.left == 12 * 5 * MIB
    assert peak - before < 120 * MIB
    await bucket.delete([f"k{i}" for i in range(50)])
    await bucket.close()


@pytest.mark.parametrize("there", [False, True])
async def test_a_conditional_put_loses_to_a_faster_host(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Another host writes between the look and the write: where the server judges
    If-None-Match and If-Match the put answers None and the other's object stays.
    """
    server, name = s3_servers.shared("moto"), s3_servers.fresh_name()
    slow, fast = [await opened(server.address(), name, Timing()) for _ in range(2)]
    condition = {"etag_does_not_match": "*"}
    if there:
        old = await slow.put("k", "old")
        assert old is not None
        condition = {"etag_matches": old.etag}
    loop, look = asyncio.get_running_loop(), S3Objects.head
    # Who looks, each time: the first is the slow host.
    looks: list[S3Objects] = []

    def overtaken(objects: S3Objects, key: str) -> object:
        found = look(objects, key)
        looks.append(objects)
        if len(looks) == 1:
            asyncio.run_coroutine_threadsafe(fast.put(key, "fast"), loop).result()
        return found

    monkeypatch.setattr(S3Objects, "head", overtaken)

    assert await slow.put("k", "slow", only_if=condition) is None

    assert looks.count(looks[0]) == 2
    assert await read(fast, "k") == b"fast"
    for host in (slow, fast):
        await host.close()


def _anonymous_memory() -> int:
    """Return the bytes of this process that are no files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")
