"""
kill -9 while objects are written: what was acknowledged is there, whole; nothing is half.

A child process puts objects (small, large, streamed, overwritten, in parts) and prints a
line for each one that returned; the parent kills it in the middle and looks.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r2.contract import R2ObjectBody
from r2.embedded import EmbeddedBucket, open_bucket
from r2.removal import SweepReport

REPOSITORY = Path(__file__).parents[2]
WRITERS = 6

CHILD = """
import asyncio, os, random, sys, time
from pathlib import Path
from r2.contract import FixedLengthStream
from r2.embedded import open_bucket

def body(worker, turn):
    # The size varies with the turn, so that a mix of two versions shows.
    return f"{worker}:{turn};".encode() * (1 + (turn * 7919) % 60_000)

async def stream(data):
    for i in range(0, len(data), 50_000):
        yield data[i : i + 50_000]

async def work(bucket, worker):
    for turn in range(1_000_000):
        data = body(worker, turn)
        key = f"{worker}/{turn % 5}"
        if turn % 7 == 3:
            upload = await bucket.create_multipart_upload(key)
            part = await upload.upload_part(1, data)
            if turn % 2:
                await upload.complete([part])
            else:
                continue
        elif turn % 3 == 1:
            await bucket.put(key, FixedLengthStream(stream(data), len(data)))
        else:
            await bucket.put(key, data)
        os.write(1, f"{key} {turn}\\n".encode())

async def main():
    bucket = await open_bucket(Path(sys.argv[1]), clock=time.time, random_bytes=os.urandom)
    await asyncio.gather(*(work(bucket, worker) for worker in range(int(sys.argv[2]))))

asyncio.run(main())
"""


def write_and_kill(directory: Path, seconds: float) -> dict[str, int]:
    """Run the child, kill it, and return the last acknowledged turn of every key."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), str(WRITERS)],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    assert child.stdout is not None
    lines = [child.stdout.readline()]
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.read().splitlines(keepends=True)
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    acknowledged: dict[str, int] = {}
    for line in lines:
        # A line cut by the kill is no acknowledgement.
        if line.endswith(b"\n"):
            key, turn = line.split()
            acknowledged[key.decode()] = int(turn)
    return acknowledged


def turn_of(data: bytes, key: str) -> int:
    """Return which turn's body *data* is, whole; fail when it is none."""
    label = data.split(b";", 1)[0]
    worker, turn = label.split(b":")
    assert key.startswith(f"{worker.decode()}/")
    assert data == (label + b";") * (1 + (int(turn) * 7919) % 60_000)
    return int(turn)


async def check(bucket: EmbeddedBucket, acknowledged: dict[str, int]) -> None:
    """Read every object: whole, its etag right, and no older than acknowledged."""
    listed = (await bucket.list()).objects
    assert set(acknowledged) <= {item.key for item in listed}
    for item in listed:
        found = await bucket.get(item.key)
        assert isinstance(found, R2ObjectBody)
        data = await found.bytes()
        md5 = hashlib.md5(data)
        parts = hashlib.md5(md5.digest()).hexdigest() + "-1"
        assert found.etag in (md5.hexdigest(), parts)
        assert found.size == len(data)
        # One put per key may have been committed and not yet acknowledged.
        assert turn_of(data, item.key) >= acknowledged.get(item.key, 0)


@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.5])
async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, seconds: float) -> None:
    """
    After kill -9 every acknowledged object is there and whole, the sweep at open has
    removed the orphans, and no file is left that no row names.
    """
    for _ in range(2):
        acknowledged = write_and_kill(tmp_path, seconds)
        assert len(acknowledged) >= WRITERS
        left = len(list((tmp_path / "incoming").iterdir()))

        bucket = await open_bucket(
            tmp_path, clock=time.time, random_bytes=random.Random(left).randbytes
        )
        await check(bucket, acknowledged)

        assert await bucket.sweep() == SweepReport(0, 0, 0)
        assert list((tmp_path / "incoming").iterdir()) == []
        await bucket.delete([item.key for item in (await bucket.list()).objects])
        await bucket.close()


async def test_orphans_of_every_kind_are_swept_after_a_kill(tmp_path: Path) -> None:
    """
    Over several kills the sweep does meet files without a row: the check above is not idle.
    """
    met = 0
    for _ in range(6):
        write_and_kill(tmp_path, 0.05)
        met += len(list((tmp_path / "incoming").iterdir()))
    bucket = await open_bucket(tmp_path, clock=time.time, random_bytes=random.Random(1).randbytes)

    assert met > 0
    assert list((tmp_path / "incoming").iterdir()) == []
    await bucket.close()
