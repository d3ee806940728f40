"""Erased is gone from the disk: no byte of a deleted text is left in any file of SQLite."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from d1_schema.embedded import open_database
from d1_schema.sqlite.engine import connect, rows_of
from durable.contract import DurableObject
from kv.embedded import open_namespace
from r2.embedded import open_bucket
from tests.bindings.durable_world import World

SECRET = "the-secret-of-ada"
# In a cell of a page, and on pages of their own that are free afterwards.
TEXTS = (SECRET, SECRET * 3000)


class Diary(DurableObject):
    """Keeps a text both ways that an object has."""

    async def write(self, text: str) -> None:
        """Store *text* as a value and as a row."""
        await self.ctx.storage.put("text", text)
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS pages (text)")
        self.ctx.storage.sql.exec("INSERT INTO pages VALUES (?)", text)

    async def erase(self) -> None:
        """Delete both; the object itself stays."""
        await self.ctx.storage.put("other", 1)
        await self.ctx.storage.delete("text")
        self.ctx.storage.sql.exec("DELETE FROM pages")


async def _d1(folder: Path, text: str) -> Callable[[], Awaitable[None]]:
    db = await open_database(folder / "d1.sqlite")
    await db.exec("CREATE TABLE t (i INTEGER PRIMARY KEY, v)")
    await db.prepare("INSERT INTO t (v) VALUES (?)").bind(text).run()
    await db.prepare("UPDATE t SET v = v || 'more'").run()
    await db.prepare("DELETE FROM t").run()
    return db.close


async def _kv(folder: Path, text: str) -> Callable[[], Awaitable[None]]:
    kv = await open_namespace(folder / "kv.sqlite", lambda: 1000.0)
    await kv.put("a", text, metadata=SECRET)
    await kv.put("b", text)
    await kv.put("b", "replaced")
    await kv.delete("a")
    return kv.close


@pytest.mark.parametrize("text", TEXTS, ids=["short", "long"])
@pytest.mark.parametrize("write", [_d1, _kv])
async def test_a_deleted_text_is_in_no_file(
    tmp_path: Path,
    write: Callable[[Path, str], Awaitable[Callable[[], Awaitable[None]]]],
    text: str,
) -> None:
    """Neither while the store is open, once its log was copied, nor after it is closed."""
    close = await write(tmp_path, text)
    [path] = tmp_path.glob("*.sqlite")
    other = connect(path)
    [(is_busy, _, _)] = rows_of(other, "PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()

    assert is_busy == 0
    assert found(tmp_path) == []
    await close()
    assert found(tmp_path) == []


@pytest.mark.parametrize("text", TEXTS, ids=["short", "long"])
async def test_an_object_forgets_too(tmp_path: Path, text: str) -> None:
    """A deleted value and a deleted row leave the object's file."""
    world = World(tmp_path / "durable")
    await world.open()
    await world.stub(Diary).call("write", text)
    await world.stub(Diary).call("erase")

    await world.actors.close()

    assert len(list(tmp_path.rglob("*.sqlite"))) == 2  # the object's, and the index of alarms
    assert found(tmp_path) == []


async def test_a_bucket_forgets_the_metadata(tmp_path: Path) -> None:
    """Key and custom metadata of a deleted object leave the ledger."""
    bucket = await open_bucket(tmp_path / "r2", clock=lambda: 1000.0, random_bytes=os.urandom)
    await bucket.put(f"{SECRET}.txt", SECRET, custom_metadata={"of": SECRET})
    await bucket.delete(f"{SECRET}.txt")
    await bucket.sweep()

    await bucket.close()

    assert found(tmp_path) == []


def found(folder: Path) -> list[str]:
    """The files below *folder* that hold a piece of the secret."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if SECRET[:12].encode() in path.read_bytes()]
