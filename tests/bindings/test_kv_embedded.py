"""KV in a file: what others commit is seen at once, and what is locked stays locked."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from d1_schema.sqlite.engine import connect
from kv.contract import KVNamespace
from kv.embedded import open_namespace
from kv.read_cache import CACHE_BYTES, LARGEST_VALUE, ReadCache
from kv.values import KVStored


@pytest.fixture
async def kv(tmp_path: Path) -> AsyncIterator[KVNamespace]:
    """A namespace in a file."""
    namespace = await open_namespace(tmp_path / "kv.sqlite", lambda: 1000.0)
    yield namespace
    await namespace.close()


async def test_a_write_of_another_process_is_seen_by_the_next_read(
    kv: KVNamespace, tmp_path: Path
) -> None:
    """What another connection commits meanwhile is there at once."""
    await kv.put("a", "old")
    assert await kv.get("a") == "old"
    assert await kv.get("a") == "old"

    def commit() -> None:
        other = connect(tmp_path / "kv.sqlite")
        other.execute("UPDATE entries SET value = ? WHERE key = ?", (b"new", b"a"))
        other.close()

    await asyncio.to_thread(commit)

    assert await kv.get("a") == "new"


async def test_own_writes_and_deletes_are_seen_by_the_next_read(kv: KVNamespace) -> None:
    """A value ends with the next put or delete."""
    await kv.put("a", "1")
    assert await kv.get("a") == "1"
    await kv.put("a", "2")
    assert await kv.get("a") == "2"
    await kv.delete("a")
    assert await kv.get("a") is None


async def test_an_entry_with_an_end_is_gone_at_it(tmp_path: Path) -> None:
    """Reading an entry twice before its end does not make it live longer."""
    now = 1000.0
    kv = await open_namespace(tmp_path / "kv.sqlite", lambda: now)
    await kv.put("a", "1", expiration_ttl=60)
    assert await kv.get("a") == "1"
    assert await kv.get("a") == "1"

    now = 1060.0

    assert await kv.get("a") is None
    await kv.close()


async def test_many_at_once_are_kept_and_replaced_too(kv: KVNamespace) -> None:
    """What `get_many` has read is answered by `get`, and no longer than it lives."""
    await kv.put("a", "1")
    await kv.put("b", "1", metadata={"m": 1})
    assert await kv.get_many(["a", "b", "c"]) == {"a": "1", "b": "1", "c": None}
    await kv.put("b", "2")
    assert await kv.get("a") == "1"
    replaced = await kv.get_with_metadata("b")
    assert (replaced.value, replaced.metadata) == ("2", None)


async def test_what_is_written_while_a_large_value_is_read_is_not_hidden(kv: KVNamespace) -> None:
    """A read in a lane that was overtaken by a write leaves nothing behind."""
    large = "x" * 400_000
    await kv.put("a", large)
    reading = asyncio.create_task(kv.get("a"))
    await asyncio.sleep(0)
    await kv.put("a", "new")
    assert await reading in (large, "new")
    assert await kv.get("a") == "new"


class _File:
    """Stands for a file whose newest commit is *version*."""

    version_now = 1

    def look(self) -> int:
        """See `SqliteFile.look`."""
        return self.version_now

    version = look


def test_the_memory_of_what_was_read_is_bounded_and_ends_with_a_commit() -> None:
    """The oldest leave first; larger values are not kept at all; a commit empties it."""
    file = _File()
    cache = ReadCache(file)
    value = KVStored(b"x" * LARGEST_VALUE, None)
    room = CACHE_BYTES // LARGEST_VALUE
    for number in range(room + 5):
        cache.keep(f"k{number}", value)
    cache.keep("larger", KVStored(value.value + b"x", None))

    kept = [number for number in range(room + 5) if cache.get(f"k{number}")]
    assert kept == list(range(5, room + 5))
    assert cache.get("larger") is None

    file.version_now = 2
    assert cache.get("k6") is None
    cache.keep("k6", value)
    assert cache.get("k6") == value
    assert cache.get("k7") is None


async def test_metadata_is_read_each_time(kv: KVNamespace) -> None:
    """The second read answers with its metadata too."""
    await kv.put("a", "1", metadata={"m": 1})
    first = await kv.get_with_metadata("a")
    assert (await kv.get_with_metadata("a")) == first
    assert first.metadata == {"m": 1}


HOLDS_NO_LOCK = """
import fcntl, os, sys
index = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)  # SQLite's "somebody uses this index"
"""


async def is_guarded(index: Path) -> bool:
    """Whether another process finds this one's lock on the WAL index."""
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", HOLDS_NO_LOCK, str(index)], stderr=asyncio.subprocess.DEVNULL
    )
    return await child.wait() != 0


async def test_closing_one_namespace_leaves_the_locks_of_another(
    kv: KVNamespace, tmp_path: Path
) -> None:
    """Two namespaces of one file in one process: SQLite's locks outlive the first."""
    index = tmp_path / "kv.sqlite-shm"
    other = await open_namespace(tmp_path / "kv.sqlite", lambda: 1000.0)
    assert await is_guarded(index)

    await other.close()

    assert await is_guarded(index)
    await kv.put("a", "1")
    assert await kv.get("a") == "1"
