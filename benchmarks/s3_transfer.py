"""
A large object up to an S3 server and down again: the R2 adapter beside the `minio` client alone.

The server is rclone over a folder, a process of its own. Both sides send and receive a stream
of the same chunks, so that neither holds the object; the client runs in a thread, as any server
must run it that keeps it off its event loop. Rounds take turns. Memory is the peak of this
process above what it had before the adapter's first transfer.
"""

from __future__ import annotations

import asyncio
import io
import os
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from minio import Minio

from benchmarks import servers
from benchmarks.figures import Figure
from benchmarks.plan import Plan
from r2.contract import FixedLengthStream, R2Bucket, R2ObjectBody
from r2.minio import open_bucket, parse_address

NAME = "s3_transfer"
SIZE = 100_000_000
CHUNK = 64 * 1024
KEY, SECRET = "EDGEKEEPBENCHKEY", "EDGEKEEPBENCHSEC"
BUCKET = "bench"
MEGABYTE = 1_000_000
AGAINST = "minio client in a thread"
STATUS = Path("/proc/self/statm")


class _Source(io.RawIOBase):
    """A readable stream of SIZE bytes that holds one chunk."""

    def __init__(self, chunk: bytes) -> None:
        self._chunk = chunk
        self._left = SIZE

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes."""
        length = min(len(self._chunk), self._left, size if size >= 0 else self._left)
        self._left -= length
        return self._chunk[:length]


def s3_transfer(plan: Plan) -> list[Figure]:
    """100 MB up and down through the adapter and through the client, and memory meanwhile."""
    with servers.scratch() as directory:
        (directory / "data").mkdir()
        port = servers.free_port()
        command = [
            *(str(Path(sys.executable).parent / "rclone"), "serve", "s3"),
            *("--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}"),
            *("--config", os.devnull, str(directory / "data")),
        ]
        with servers.running(command, port, directory, health="/"):
            return asyncio.run(_measure(port, plan.rounds))


async def _measure(port: int, rounds: int) -> list[Figure]:
    address = parse_address(f"s3://{KEY}:{SECRET}@127.0.0.1:{port}")
    client = Minio(f"127.0.0.1:{port}", KEY, SECRET, secure=False, region="us-east-1")
    bucket = await open_bucket(address, BUCKET, clock=time.time, random_bytes=os.urandom)
    chunk = os.urandom(CHUNK)
    cases = _cases(bucket, client, chunk)
    times: dict[str, list[float]] = {name: [] for name in cases}
    peak = 0
    try:
        for turn in range(rounds + 1):
            for name, case in cases.items():
                with _Peak() as memory:
                    began = time.perf_counter()
                    await case()
                    taken = time.perf_counter() - began
                # The first round warms up connections and caches.
                if turn:
                    times[name].append(taken)
                if name.startswith("ours"):
                    peak = max(peak, memory.above)
    finally:
        await bucket.close()
    speeds = {name: SIZE / MEGABYTE / statistics.median(taken) for name, taken in times.items()}
    return [
        _speed("up", speeds["ours up"], speeds["client up"]),
        _speed("down", speeds["ours down"], speeds["client down"]),
        Figure(
            NAME,
            "memory above idle while 100 MB go up or down",
            peak / MEGABYTE,
            "MB",
            40,
            at_least=False,
        ),
    ]


def _speed(way: str, ours: float, reference: float) -> Figure:
    return Figure(
        NAME,
        f"100 MB {way}, streamed",
        ours,
        "MB/s",
        0.7,
        reference=reference,
        against=AGAINST,
        ratio=ours / reference,
    )


def _cases(
    bucket: R2Bucket, client: Minio, chunk: bytes
) -> dict[str, Callable[[], Awaitable[None]]]:
    async def chunks() -> AsyncIterator[bytes]:
        left = SIZE
        while left:
            length = min(left, len(chunk))
            left -= length
            yield chunk[:length]

    async def ours_up() -> None:
        assert await bucket.put("ours", FixedLengthStream(chunks(), SIZE)) is not None

    async def ours_down() -> None:
        found = await bucket.get("ours")
        assert isinstance(found, R2ObjectBody)
        assert sum([len(piece) async for piece in found.body]) == SIZE

    def put() -> None:
        client.put_object(BUCKET, "client", _Source(chunk), SIZE)  # type: ignore[arg-type]

    def get() -> None:
        response = client.get_object(BUCKET, "client")
        assert sum(len(piece) for piece in response.stream(256 * 1024)) == SIZE
        response.release_conn()

    async def client_up() -> None:
        await asyncio.to_thread(put)

    async def client_down() -> None:
        await asyncio.to_thread(get)

    return {
        "client up": client_up,
        "ours up": ours_up,
        "client down": client_down,
        "ours down": ours_down,
    }


class _Peak:
    """The highest resident memory of this process in a block, above that at its begin."""

    def __init__(self) -> None:
        self.above = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Peak:
        self._begin = _resident()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.above = max(self.above, _resident() - self._begin)


def _resident() -> int:
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
