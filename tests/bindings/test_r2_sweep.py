"""The sweep of a bucket in a folder: what it takes away, and what it must leave."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from r2.bodies import BodyFolder, BodyWriter
from r2.contract import FixedLengthStream, R2Error
from r2.embedded import EmbeddedBucket
from r2.ledger import Ledger
from r2.removal import SweepReport
from tests.bindings.r2_adapters import Clock
from tests.bindings.r2_folder import BIG, files, read, reopen

DAY = 24 * 3600.0


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
async def bucket(tmp_path: Path, clock: Clock) -> AsyncIterator[EmbeddedBucket]:
    """An empty bucket in tmp_path."""
    opened = await reopen(tmp_path, clock, 1)
    yield opened
    await opened.close()


async def test_open_sweeps_orphans_and_keeps_the_rest(tmp_path: Path, clock: Clock) -> None:
    """
    Files a crash left in either folder go when the bucket is opened; objects stay.
    """
    first = await reopen(tmp_path, clock, 1)
    await first.put("k", BIG)
    await first.close()
    orphans = [tmp_path / "incoming" / ("a" * 32), tmp_path / "bodies" / ("b" * 32)]
    for orphan in orphans:
        orphan.write_bytes(b"half")

    second = await reopen(tmp_path, clock, 2)

    assert [path for path in orphans if path.exists()] == []
    assert await read(second, "k") == BIG
    orphans[1].write_bytes(b"half")
    assert await second.sweep() == SweepReport(files=1, bytes=4, uploads=0)
    await second.close()


async def test_a_sweep_leaves_bodies_at_work_alone(
    bucket: EmbeddedBucket, tmp_path: Path, clock: Clock
) -> None:
    """
    Another process that opens and sweeps while a stream comes in takes nothing away.
    """
    come_in, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield BIG
        come_in.set()
        await go_on.wait()
        yield BIG

    putting = asyncio.ensure_future(bucket.put("k", FixedLengthStream(slow(), 2 * len(BIG))))
    await come_in.wait()
    other = await reopen(tmp_path, clock, 2)
    assert await other.sweep() == SweepReport(0, 0, 0)
    go_on.set()
    await putting

    assert await read(other, "k") == BIG * 2
    await other.close()


async def test_a_published_body_is_safe_until_its_row_is_there(
    bucket: EmbeddedBucket, tmp_path: Path
) -> None:
    """
    Between the move to bodies/ and the commit a sweep finds the file locked.
    """
    folder = BodyFolder(tmp_path, random.Random(3).randbytes)
    writer = BodyWriter(folder)
    writer.begin()
    writer.write(b"whole")
    writer.publish()

    assert await bucket.sweep() == SweepReport(0, 0, 0)
    assert (tmp_path / "bodies" / writer.version).exists()
    # As a crash leaves it: nothing tidies up.
    os.close(writer._handle or 0)  # noqa: SLF001
    writer._handle = None  # noqa: SLF001
    assert await bucket.sweep() == SweepReport(1, 5, 0)
    folder.close()


async def test_uploads_left_open_are_dropped_after_seven_days(
    bucket: EmbeddedBucket, tmp_path: Path, clock: Clock
) -> None:
    """
    A sweep drops an upload begun more than 7 days ago with its parts, not a younger one.
    """
    old = await bucket.create_multipart_upload("old")
    await old.upload_part(1, BIG)
    clock.now += 1
    young = await bucket.create_multipart_upload("young")
    part = await young.upload_part(1, "y")
    clock.now += 7 * DAY - 1
    assert await bucket.sweep() == SweepReport(0, 0, 0)
    clock.now += 0.001

    assert (await bucket.sweep()).uploads == 1
    assert len(files(tmp_path)) == 1
    with pytest.raises(R2Error, match="10024"):
        await old.upload_part(2, "x")
    assert (await young.complete([part])).size == 1


async def test_a_sweep_looks_again_under_the_lock(
    bucket: EmbeddedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A row committed just after the sweep's query saves its body.
    """
    await bucket.put("k", "v")
    original = Ledger.known_versions

    def too_early(ledger: Ledger, versions: Iterable[str]) -> set[str]:
        monkeypatch.setattr(Ledger, "known_versions", original)
        return set()

    monkeypatch.setattr(Ledger, "known_versions", too_early)

    assert await bucket.sweep() == SweepReport(0, 0, 0)
    assert await read(bucket, "k") == b"v"
