"""A bucket in a folder, opened as often as a test needs, and a look at its files."""

from __future__ import annotations

import random
from pathlib import Path

from r2.contract import R2ObjectBody
from r2.embedded import EmbeddedBucket, open_bucket
from tests.bindings.r2_adapters import Clock

# More than a get reads at once, so that it is streamed from an open file.
BIG = bytes(range(256)) * 10_000


async def reopen(directory: Path, clock: Clock, seed: int) -> EmbeddedBucket:
    """Open the folder with dice of its own, as another process has."""
    dice = random.Random(seed).randbytes
    return await open_bucket(directory, clock=clock, random_bytes=dice)


def files(directory: Path) -> list[Path]:
    """Return the bodies there are, finished or not."""
    return sorted([*(directory / "bodies").iterdir(), *(directory / "incoming").iterdir()])


async def read(bucket: EmbeddedBucket, key: str) -> bytes | None:
    """Return the bytes of an object, None when there is none."""
    found = await bucket.get(key)
    return await found.bytes() if isinstance(found, R2ObjectBody) else None
