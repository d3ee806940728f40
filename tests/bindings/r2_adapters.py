"""
Which R2 adapters the suites run on: name → how to open an empty bucket.

A further adapter is one more line in `OPENERS`. The S3 adapter runs on two servers: moto is
close to S3 itself; rclone keeps objects as files of their names, with what that brings.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from r2.contract import R2Bucket
from r2.embedded import open_bucket
from r2.minio import open_bucket as open_s3
from tests.support import s3_servers

# 2026-11-20T23:18:23Z, the minute of the golden answers.
START = 1_795_216_703.0


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self, now: float = START) -> None:
        """Start at *now*, seconds since the epoch."""
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


async def open_embedded(directory: Path, clock: Callable[[], float]) -> R2Bucket:
    """Open a bucket in a folder, with dice that always fall alike."""
    return await open_bucket(directory, clock=clock, random_bytes=random.Random(7).randbytes)


Opener = Callable[[Path, Callable[[], float]], Awaitable[R2Bucket]]


def opener_on(server: str) -> Opener:
    """Return what opens a new bucket on the S3 *server* of the session."""

    async def opened(_: Path, clock: Callable[[], float]) -> R2Bucket:
        # Random in earnest: ids of uploads and versions of all tests meet on one server.
        return await open_s3(
            s3_servers.shared(server).address(),
            s3_servers.fresh_name(),
            clock=clock,
            random_bytes=os.urandom,
        )

    return opened


OPENERS: dict[str, Opener] = {
    "embedded": open_embedded,
    "s3-moto": opener_on("moto"),
    "s3-rclone": opener_on("rclone"),
}
