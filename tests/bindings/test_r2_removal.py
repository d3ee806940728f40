"""When a body that was replaced or deleted leaves the disk: soon, and never too soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from d1_schema.sqlite.engine import Error
from r2.bodies import BodyFolder
from r2.embedded import EmbeddedBucket
from r2.ledger import Ledger
from tests.bindings.r2_adapters import Clock
from tests.bindings.r2_folder import files, read, reopen
from tests.support.waiting import until


@pytest.fixture
async def bucket(tmp_path: Path) -> AsyncIterator[EmbeddedBucket]:
    """An empty bucket in tmp_path."""
    opened = await reopen(tmp_path, Clock(), 1)
    yield opened
    await opened.close()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The syncs of the ledger and the removals of bodies, in order."""
    seen: list[str] = []
    sync, remove = Ledger.sync, BodyFolder.remove

    def spy_sync(ledger: Ledger) -> None:
        sync(ledger)
        seen.append("sync")

    def spy_remove(folder: BodyFolder, version: str) -> None:
        seen.append("remove")
        remove(folder, version)

    monkeypatch.setattr(Ledger, "sync", spy_sync)
    monkeypatch.setattr(BodyFolder, "remove", spy_remove)
    return seen


async def test_what_was_replaced_goes_by_itself_after_one_sync(
    bucket: EmbeddedBucket, tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Bodies replaced and deleted wait, then go together, without another call.
    """
    monkeypatch.setattr("r2.removal._DELAY_SECONDS", 0.05)
    for text in ("1", "2", "3"):
        await bucket.put("k", text)
    await bucket.put("gone", "x")
    await bucket.delete("gone")
    while steps.count("remove") < 3 or len(files(tmp_path)) > 1:
        await asyncio.sleep(0.01)

    assert steps[0] == "sync"
    assert await read(bucket, "k") == b"3"


async def test_closing_removes_what_waits(tmp_path: Path, steps: list[str]) -> None:
    """
    A bucket that closes syncs its rows and takes the replaced bodies away first.
    """
    bucket = await reopen(tmp_path, Clock(), 1)
    await bucket.put("k", "old")
    await bucket.put("k", "new")
    assert len(files(tmp_path)) == 2
    await bucket.close()

    assert len(files(tmp_path)) == 1
    assert steps == ["sync", "remove"]


async def test_a_sync_that_fails_leaves_the_bodies(
    bucket: EmbeddedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While rows cannot be made durable nothing is removed; the sweep does it once they can.
    """

    tried: list[Ledger] = []

    def fail(ledger: Ledger) -> None:
        tried.append(ledger)
        raise Error("disk I/O error")

    monkeypatch.setattr("r2.removal._DELAY_SECONDS", 0.02)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "sync", fail)
        await bucket.put("k", "old")
        await bucket.put("k", "new")
        await until(lambda: bool(tried))
        assert len(files(tmp_path)) == 2

    assert (await bucket.sweep()).files == 1
    assert await read(bucket, "k") == b"new"


async def test_a_sweep_syncs_before_it_removes_orphans(
    bucket: EmbeddedBucket, tmp_path: Path, steps: list[str]
) -> None:
    """
    An orphan may be what a commit just replaced: the ledger is synced before it goes.
    """
    assert (await bucket.sweep()).files == 0
    assert steps == []
    (tmp_path / "bodies" / ("b" * 32)).write_bytes(b"replaced")

    assert (await bucket.sweep()).files == 1
    assert steps == ["sync"]


async def test_a_sync_writes_to_the_log(bucket: EmbeddedBucket, tmp_path: Path) -> None:
    """
    `sync` commits something every time, for only a commit makes SQLite sync its log.
    """
    log = tmp_path / "ledger.sqlite-wal"
    await bucket.put("k", "v")
    sizes = [log.stat().st_size]
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for _ in range(2):
        ledger.sync()
        sizes.append(log.stat().st_size)
    ledger.close()

    assert sizes[0] < sizes[1] < sizes[2]
    assert await read(bucket, "k") == b"v"


async def test_the_key_of_what_was_deleted_leaves_the_ledgers_log(
    bucket: EmbeddedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bucket open, a moment after the body."""
    monkeypatch.setattr("r2.removal._DELAY_SECONDS", 0.05)
    await bucket.put("CANARY", "x")
    await bucket.delete("CANARY")
    while any(b"CANARY" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()):
        await asyncio.sleep(0.01)
