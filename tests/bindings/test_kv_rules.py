"""
Rules of KV that the golden transcript does not cover (facts/bindings.md H2).

Each runs on every adapter.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kv.contract import KVError, KVNamespace, KVPut
from tests.bindings.adapters import START, Clock


async def names(kv: KVNamespace, prefix: str = "") -> list[str]:
    """All names, page by page."""
    found: list[str] = []
    cursor = None
    while True:
        page = await kv.list(prefix=prefix, cursor=cursor, limit=3)
        found += [key.name for key in page.keys]
        if page.list_complete:
            assert page.cursor is None
            return found
        cursor = page.cursor


@pytest.mark.parametrize(("after", "lives"), [(59, True), (59.9, True), (60, False), (61, False)])
async def test_every_way_of_reading_agrees_on_when_an_entry_ends(
    kv: KVNamespace, clock: Clock, after: float, lives: bool
) -> None:
    """An entry of 60 seconds is there at 59 and gone at 60: for get, bulk get and list."""
    await kv.put("k", "v", expiration_ttl=60)
    clock.now += after

    assert (await kv.get("k") is not None) == lives
    assert ((await kv.get_with_metadata("k")).value is not None) == lives
    assert ((await kv.get_many(["k"]))["k"] is not None) == lives
    assert (await names(kv) == ["k"]) == lives


async def test_an_ended_entry_can_be_written_again(kv: KVNamespace, clock: Clock) -> None:
    """The new entry has nothing of the old one."""
    await kv.put("k", "old", expiration_ttl=60, metadata={"old": True})
    clock.now += 100

    await kv.put("k", "new")

    assert (await kv.get_with_metadata("k")).metadata is None
    (key,) = (await kv.list()).keys
    assert (key.expiration, await kv.get("k")) == (None, "new")


async def test_ended_entries_are_removed_in_time(kv: KVNamespace, clock: Clock) -> None:
    """However many have ended, working with the store removes them, and nothing else."""
    await kv.put_many(KVPut(f"gone/{i:04d}", "v", expiration_ttl=60) for i in range(500))
    await kv.put("stays", "v")

    for _ in range(10):
        clock.now += 100
        await kv.put("other", "v")

    clock.now = START  # the clock goes back: what was only hidden would show again
    assert await names(kv) == ["other", "stays"]


async def test_keys_inserted_behind_the_cursor_are_not_seen(kv: KVNamespace) -> None:
    """Page 1 of a, c, e; then b and d come; page 2 begins behind c."""
    for key in "ace":
        await kv.put(key, "")
    first = await kv.list(limit=2)

    for key in "bd":
        await kv.put(key, "")

    second = await kv.list(limit=1000, cursor=first.cursor)
    assert [key.name for key in first.keys] == ["a", "c"]
    assert [key.name for key in second.keys] == ["d", "e"]


async def test_a_deleted_cursor_key_does_not_matter(kv: KVNamespace) -> None:
    """The cursor is a place, not an entry."""
    for key in "abc":
        await kv.put(key, "")
    page = await kv.list(limit=1)
    await kv.delete("a")

    assert [k.name for k in (await kv.list(cursor=page.cursor)).keys] == ["b", "c"]


@pytest.mark.parametrize("prefix", ["%", "_", "*", "[", "?", "A", "é", "\U0010ffff"])
async def test_a_prefix_matches_only_itself(kv: KVNamespace, prefix: str) -> None:
    """No wildcards, no case folding."""
    await kv.put(prefix + "1", "")
    for other in ("x1", "a1", "e1", "e\u03011", "\U0010fffe1"):
        await kv.put(other, "")

    assert await names(kv, prefix) == [prefix + "1"]


async def test_a_too_long_value_leaves_the_old_one(kv: KVNamespace) -> None:
    """Refused before anything is written, from a stream too, without reading on."""
    await kv.put("k", "old")
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1024 * 1024)

    with pytest.raises(KVError) as caught:
        await kv.put("k", endless())

    assert (caught.value.status, caught.value.operation) == (413, "PUT")
    assert taken == 26
    assert await kv.get("k") == "old"


async def test_large_values_arrive_whole(kv: KVNamespace) -> None:
    """Around every threshold of the store, as bytes, stream and in bulk."""
    for size in (0, 1, 128 * 1024, 128 * 1024 + 1, 256 * 1024, 256 * 1024 + 1, 3_000_000):
        value = bytes(i % 251 for i in range(1000)) * (size // 1000) + b"x" * (size % 1000)
        await kv.put("k", value)

        assert await kv.get("k", "bytes") == value
        stream = await kv.get("k", "stream")
        assert stream is not None
        assert b"".join([chunk async for chunk in stream]) == value
        assert (await kv.get_many(["k"]))["k"] == value.decode("utf-8", "replace")


async def test_bulk_read_refuses_more_than_25_megabytes(kv: KVNamespace) -> None:
    """The sum counts."""
    for key in "ab":
        await kv.put(key, bytes(13 * 1024 * 1024))

    with pytest.raises(KVError, match="413 Total size of request exceeds the limit of 25MB"):
        await kv.get_many(["a", "b"])


async def test_put_many_stores_as_put_does(kv: KVNamespace, clock: Clock) -> None:
    """Text, bytes, metadata and expiry; of equal keys the last one wins."""
    await kv.put("old", "v", metadata=1, expiration_ttl=60)
    entries = [
        KVPut("text", "é\0\"'\\"),
        KVPut("bytes", b"\x00\xff\x80"),
        KVPut("empty", ""),
        KVPut("meta", "v", metadata={"x": "🤓\0"}),
        KVPut("false", "v", metadata=False),
        KVPut("ends", "v", expiration_ttl=90),
        KVPut("at", "v", expiration=START + 75),
        KVPut("twice", "first", metadata=1),
        KVPut("twice", "last"),
        KVPut("old", "new"),
    ]

    await kv.put_many(entries)

    assert await kv.get("text") == "é\0\"'\\"
    assert await kv.get("bytes", "bytes") == b"\x00\xff\x80"
    assert await kv.get("empty") == ""
    assert (await kv.get_with_metadata("meta")).metadata == {"x": "🤓\0"}
    assert (await kv.get_with_metadata("false")).metadata is False
    listed = {key.name: (key.expiration, key.metadata) for key in (await kv.list()).keys}
    assert (listed["ends"], listed["at"]) == ((START + 90, None), (START + 75, None))
    assert (await kv.get("twice"), listed["twice"]) == ("last", (None, None))
    assert listed["old"] == (None, None)


async def test_put_many_takes_any_number(kv: KVNamespace) -> None:
    """None, one, and more than any slice; with values beyond the slices' size between."""
    await kv.put_many([])
    await kv.put_many([KVPut("one", "1")])
    value = "x" * 700_000
    await kv.put_many(KVPut(f"k{i:04d}", value if i % 400 == 0 else str(i)) for i in range(1300))

    assert len(await names(kv, "k")) == 1300
    assert await kv.get("k0800") == value
    assert await kv.get("k1299") == "1299"


async def test_put_many_refuses_a_wrong_entry_as_put_does(kv: KVNamespace) -> None:
    """The checks are those of put; entries before it may have been stored."""
    with pytest.raises(KVError, match="KV PUT failed: 414"):
        await kv.put_many([KVPut("a", "1"), KVPut("x" * 513, "1")])
    with pytest.raises(TypeError, match="Key name cannot be empty"):
        await kv.put_many([KVPut("", "1")])
    with pytest.raises(KVError, match="Expiration TTL must be at least 60"):
        await kv.put_many([KVPut("a", "1", expiration_ttl=59)])


@pytest.mark.parametrize("metadata", [{1, 2}, float("nan"), b"x", {"a": object()}])
async def test_metadata_must_be_json(kv: KVNamespace, metadata: object) -> None:
    """What JSON cannot say is a TypeError, and nothing is stored."""
    with pytest.raises(TypeError):
        await kv.put("k", "v", metadata=metadata)
    assert await kv.get("k") is None


@pytest.mark.parametrize("text", ["NaN", "Infinity", "[1,]", "", "{'a':1}"])
async def test_json_is_what_javascript_reads_as_json(kv: KVNamespace, text: str) -> None:
    """Python's own extensions are refused."""
    await kv.put("k", text)
    with pytest.raises(ValueError):
        await kv.get("k", "json")


async def test_a_lone_surrogate_is_stored_as_a_replacement_character(kv: KVNamespace) -> None:
    """As JavaScript does when it encodes such a text."""
    await kv.put("k", "a\ud800b", metadata="\ud800")
    assert await kv.get("k") == "a\ufffdb"
    assert (await kv.get_with_metadata("k")).metadata == "\ud800"


async def test_many_writers_and_readers_at_once(kv: KVNamespace) -> None:
    """Each write is seen by a read that begins after it."""

    async def one(i: int) -> None:
        await kv.put(f"k{i}", str(i))
        assert await kv.get(f"k{i}") == str(i)
        if i % 2:
            await kv.delete(f"k{i}")
            assert await kv.get(f"k{i}") is None

    await asyncio.gather(*(one(i) for i in range(300)))
    assert len(await names(kv)) == 150


async def test_close_finishes_what_was_begun_and_may_be_repeated(kv: KVNamespace) -> None:
    """A write handed in before close is kept; one after it is refused."""
    writing = asyncio.ensure_future(kv.put("k", "v"))
    await asyncio.sleep(0)

    await kv.close()
    await kv.close()

    assert await writing is None
    with pytest.raises(KVError, match="closed"):
        await kv.put("k", "v2")
    with pytest.raises(KVError, match="closed"):
        await kv.get("k")
