"""
What the embedded adapters promise about the event loop, locks and full disks.

These are promises of `d1_schema.sqlite.file`, so they run on the embedded adapter only.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from d1_schema import embedded
from d1_schema.contract import D1Error
from d1_schema.embedded import EmbeddedDatabase, open_database
from d1_schema.sqlite import file as sqlite_file
from d1_schema.sqlite import lane as sqlite_lane
from d1_schema.sqlite import writes as sqlite_writes
from d1_schema.sqlite.dialect import open_connection
from d1_schema.sqlite.engine import Connection, connect
from d1_schema.sqlite.handle import Handle
from d1_schema.sqlite.slow_memo import MEMO_SIZE, SLOW_AFTER, SlowMemo
from tests.support.waiting import PATIENCE

COUNT = (
    "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {}) SELECT {} FROM c"
)
SLOW_READ = COUNT.format(3_000_000, "sum(x) s")
ENDLESS = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT count(*) FROM c"

MOST_SECONDS = 0.03
"""
Of processor time in the loop's thread, so that a busy machine does not count.

Some times the promised two milliseconds, for slow machines; far below the length
of the statements, which the loop would have to sit out.
"""


class Gaps:
    """Measures how much work the loop's thread did between two turns, at most."""

    largest = 0.0

    async def watch(self) -> None:
        """Run until cancelled."""
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.largest = max(self.largest, now - last)
            last = now


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[EmbeddedDatabase]:
    """A database with an empty table."""
    opened = await open_database(tmp_path / "d1.sqlite")
    assert isinstance(opened, EmbeddedDatabase)
    await opened.exec("CREATE TABLE t (i INTEGER PRIMARY KEY, v)")
    yield opened
    await opened.close()


@pytest.fixture
async def gaps() -> AsyncIterator[Gaps]:
    """The loop's gaps during the test."""
    measured = Gaps()
    task = asyncio.create_task(measured.watch())
    await asyncio.sleep(0.01)
    yield measured
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def count(db: EmbeddedDatabase) -> int:
    """Rows of the table."""
    found: int = await db.prepare("SELECT count(*) c FROM t").first("c")
    return found


async def test_a_slow_read_does_not_hold_the_loop(db: EmbeddedDatabase, gaps: Gaps) -> None:
    """It is interrupted and done again in a lane; the answer is right."""
    total = await db.prepare(SLOW_READ).first("s")

    assert total == 3_000_000 * 3_000_001 // 2
    assert gaps.largest < MOST_SECONDS


async def test_a_slow_write_does_not_hold_the_loop(db: EmbeddedDatabase, gaps: Gaps) -> None:
    """It is undone and done again in a lane, once; meanwhile reads go on."""
    sql = "INSERT INTO t (v) " + COUNT.format(700_000, "x")
    writing = asyncio.create_task(db.prepare(sql).run())
    reads = 0
    while not writing.done():
        assert await count(db) in (0, 700_000)
        await asyncio.sleep(0.001)
        reads += 1

    assert (await writing).meta.changes == 700_000
    assert await count(db) == 700_000
    assert reads > 5
    assert gaps.largest < MOST_SECONDS


async def test_neighbours_of_a_slow_write_are_kept_once(db: EmbeddedDatabase) -> None:
    """An interrupt undoes the whole transaction; the others are run again, not twice."""
    slow = "INSERT INTO t (v) " + COUNT.format(300_000, "'slow'")
    writes = [db.prepare("INSERT INTO t (v) VALUES (?)").bind(str(i)) for i in range(6)]
    writes.insert(3, db.prepare(slow))

    results = await asyncio.gather(*(statement.run() for statement in writes))

    assert [r.meta.changes for r in results] == [1, 1, 1, 300_000, 1, 1, 1]
    light = await db.prepare("SELECT v FROM t WHERE v != 'slow' ORDER BY v").raw()
    assert light == [[str(i)] for i in range(6)]
    assert await count(db) == 300_006


async def test_one_slow_read_does_not_block_another(db: EmbeddedDatabase) -> None:
    """There are two reader lanes; a short query never waits for either."""
    slow = asyncio.create_task(db.prepare(ENDLESS).first())
    await asyncio.sleep(0.05)

    assert await db.prepare(COUNT.format(200_000, "max(x) m")).first("m") == 200_000
    assert await db.prepare("SELECT 1 x").first("x") == 1

    assert not slow.done()
    slow.cancel()


async def test_a_cancelled_read_stops(db: EmbeddedDatabase) -> None:
    """Nobody waits for it, so both lanes are free again at once."""
    for _ in range(6):
        task = asyncio.create_task(db.prepare(ENDLESS).first())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    found = db.prepare(COUNT.format(200_000, "max(x) m")).first("m")
    assert await asyncio.wait_for(found, PATIENCE) == 200_000


async def test_a_statement_may_not_take_for_ever(
    db: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit it fails with Cloudflare's text, and the database goes on."""
    monkeypatch.setattr(sqlite_file, "LANE_SECONDS", 0.1)
    monkeypatch.setattr(sqlite_writes, "LANE_SECONDS", 0.1)

    for sql in (ENDLESS, f"INSERT INTO t (v) {ENDLESS}"):
        with pytest.raises(D1Error, match="D1 DB storage operation exceeded timeout"):
            await db.prepare(sql).run()

    assert (await db.prepare("INSERT INTO t (v) VALUES (1)").run()).meta.changes == 1


async def test_many_large_rows_do_not_hold_the_loop(db: EmbeddedDatabase, gaps: Gaps) -> None:
    """Few steps of SQLite's machine can carry many megabytes."""
    value = b"x" * 1_000_000
    for _ in range(60):
        await db.prepare("INSERT INTO t (v) VALUES (?)").bind(value).run()

    rows = (await db.prepare("SELECT v FROM t").all()).results

    assert len(rows) == 60
    assert gaps.largest < MOST_SECONDS


async def test_a_lock_of_another_process_is_waited_for_off_the_loop(
    db: EmbeddedDatabase, tmp_path: Path, gaps: Gaps
) -> None:
    """The write waits in the lane, reads go on, and nothing fails."""
    other = connect(tmp_path / "d1.sqlite")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t (v) VALUES ('other')")
    writes = [asyncio.create_task(db.prepare("INSERT INTO t (v) VALUES (1)").run())]
    await asyncio.sleep(0.1)
    writes += [asyncio.create_task(db.prepare("INSERT INTO t (v) VALUES (2)").run())]
    await asyncio.sleep(0.05)
    assert await count(db) == 0
    assert not any(write.done() for write in writes)

    other.execute("COMMIT")
    other.close()
    await asyncio.gather(*writes)

    assert await count(db) == 3
    assert gaps.largest < MOST_SECONDS


async def test_a_lock_that_does_not_go_away_is_an_error(
    db: EmbeddedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the patience of the lane: D1_ERROR … SQLITE_BUSY; afterwards all is well."""

    def impatient(path: Path, **options: Any) -> Connection:
        return open_connection(path, **{**options, "wait_seconds": 0.05})

    monkeypatch.setattr(sqlite_lane, "open_connection", impatient)
    await db.batch([db.prepare("INSERT INTO t (v) VALUES (0)")] * 60)  # opens the lane
    other = connect(tmp_path / "d1.sqlite")
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(D1Error, match="database is locked: SQLITE_BUSY"):
        await db.prepare("INSERT INTO t (v) VALUES (1)").run()

    other.execute("ROLLBACK")
    other.close()
    await db.prepare("INSERT INTO t (v) VALUES (1)").run()
    assert await count(db) == 61


@pytest.fixture
def handles(monkeypatch: pytest.MonkeyPatch) -> list[Handle]:
    """The connections of the database that is opened next, the loop's first."""
    made: list[Handle] = []

    class Noted(Handle):
        """A handle that the test knows of."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(embedded, "Handle", Noted)
    return made


async def test_a_full_disk_is_an_error_and_nothing_is_half_written(
    handles: list[Handle], db: EmbeddedDatabase
) -> None:
    """Only those fail that do not fit; when there is room again, all goes on."""
    await db.prepare("INSERT INTO t (v) VALUES ('before')").run()
    pages = handles[0].own("PRAGMA page_count")[0]
    handles[0].own(f"PRAGMA max_page_count = {pages + 2}")
    large = db.prepare("INSERT INTO t (v) VALUES (?)").bind("x" * 60_000)
    small = db.prepare("INSERT INTO t (v) VALUES ('small')")

    results = await asyncio.gather(
        small.run(),
        large.run(),
        small.run(),
        db.batch([small, large, small]),
        small.run(),
        return_exceptions=True,
    )

    kinds = [isinstance(result, D1Error) for result in results]
    assert kinds == [False, True, False, True, False]
    assert "database or disk is full: SQLITE_FULL" in str(results[1])
    assert await db.prepare("SELECT v FROM t").raw() == [["before"], *[["small"]] * 3]

    handles[0].own("PRAGMA max_page_count = 1000000")
    await large.run()
    assert (await db.prepare("PRAGMA quick_check").raw()) == [["ok"]]


async def test_the_wal_does_not_grow_without_end(
    db: EmbeddedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is copied off the loop and begins anew, while writes go on."""
    monkeypatch.setattr(sqlite_writes, "CHECKPOINT_PAGES", 100)
    insert = db.prepare("INSERT INTO t (v) VALUES (?)")
    for _ in range(40):
        await asyncio.gather(*(insert.bind("x" * 1000).run() for _ in range(50)))

    wal = (tmp_path / "d1.sqlite-wal").stat().st_size
    assert await count(db) == 2000
    assert wal < 2_000_000  # forty transactions of fifty rows write more than 8 MB
    await db.close()
    assert [path.name for path in tmp_path.iterdir()] == ["d1.sqlite"]


async def test_what_was_deleted_leaves_the_wal_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon after, with the file open; a reader that is at it holds up nobody, and is outwaited."""
    monkeypatch.setattr(sqlite_writes, "EMPTY_SECONDS", 0.05)
    db = await open_database(tmp_path / "d1.sqlite")
    await db.prepare("CREATE TABLE t (v)").run()
    wal = tmp_path / "d1.sqlite-wal"
    reader = connect(tmp_path / "d1.sqlite", reads_only=True)
    await db.prepare("INSERT INTO t (v) VALUES ('CANARY')").run()
    reader.execute("BEGIN; SELECT count(*) FROM t").fetchall()
    await db.prepare("DELETE FROM t WHERE v = 'CANARY'").run()
    await asyncio.sleep(0.3)
    assert b"CANARY" in wal.read_bytes()

    began = time.perf_counter()
    await db.prepare("INSERT INTO t (v) VALUES ('other')").run()
    assert time.perf_counter() - began < 5
    reader.close()
    while b"CANARY" in wal.read_bytes():
        await asyncio.sleep(0.01)
    assert b"CANARY" not in (tmp_path / "d1.sqlite").read_bytes()
    assert await count(db) == 1
    await db.close()


async def test_a_setting_reaches_the_lanes(db: EmbeddedDatabase) -> None:
    """A slow query sees the same pragma as a short one."""
    slow = COUNT.format(400_000, "max('A' LIKE 'a') x")
    assert await db.prepare(slow).first("x") == 1
    await db.prepare("PRAGMA case_sensitive_like = on").run()
    assert await db.prepare(slow).first("x") == 0


def test_the_memo_sends_only_what_is_often_slow() -> None:
    """Three times late is slow; quick in the lane forgives; it is bounded."""
    memo = SlowMemo()
    for _ in range(SLOW_AFTER):
        assert not memo.is_slow("a")
        memo.remember("a")
    assert memo.is_slow("a")
    assert not memo.is_slow("b")

    memo.forgive("a")
    assert not memo.is_slow("a")

    for _ in range(100):
        memo.remember("b")
        memo.remember(None)
    for _ in range(SLOW_AFTER):
        memo.forgive("b")
    assert not memo.is_slow("b")  # however often it was late before
    for i in range(2 * MEMO_SIZE):
        memo.remember(i)
        memo.remember(i)
        memo.remember(i)
    assert not memo.is_slow("b")
    assert not memo.is_slow(0)
    assert memo.is_slow(2 * MEMO_SIZE - 1)
