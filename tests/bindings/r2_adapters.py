"""
Which R2 adapters the suites run on: name → how to open an empty bucket.

A further adapter (MinIO, the edge) is one more line in `OPENERS`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from r2.contract import R2Bucket
from r2.embedded import open_bucket

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
OPENERS: dict[str, Opener] = {"embedded": open_embedded}
