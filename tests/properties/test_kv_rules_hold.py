"""KV, for all inputs: order and paging, the moment of the end, metadata, values."""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kv.checks import MAX_METADATA_BYTES, KVError, check_key
from kv.contract import KVNamespace, KVPut
from tests.bindings.adapters import KV_ADAPTERS, Clock

START = 1_800_000_000.0

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda key: key not in (".", "..")
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


on_each_adapter = pytest.mark.parametrize("adapter", KV_ADAPTERS)


def in_namespace(adapter: str, work: Callable[[KVNamespace, Clock], Awaitable[None]]) -> None:
    """Run *work* with an empty namespace of *adapter*."""

    async def main(folder: Path) -> None:
        clock = Clock(START)
        kv = await KV_ADAPTERS[adapter](folder, clock)
        try:
            await work(kv, clock)
        finally:
            await kv.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))


@on_each_adapter
@settings(max_examples=25, deadline=None)
@given(
    names=st.sets(keys, max_size=25),
    prefix=st.text("ab/é", max_size=2),
    limits=st.lists(st.integers(1, 7), min_size=1, max_size=5),
)
def test_pages_are_all_keys_in_byte_order(
    adapter: str, names: set[str], prefix: str, limits: list[int]
) -> None:
    """However the limit changes from page to page, each key comes once, in UTF-8 order."""
    stored = {*names, *(prefix + name for name in list(names)[:10])}

    async def work(kv: KVNamespace, _: Clock) -> None:
        await kv.put_many(KVPut(name, "") for name in stored if len(name.encode()) <= 512)
        found: list[str] = []
        cursor, at = None, 0
        while True:
            limit = limits[at % len(limits)]
            page = await kv.list(prefix=prefix, limit=limit, cursor=cursor)
            assert len(page.keys) <= limit
            assert page.list_complete == (page.cursor is None)
            found += [key.name for key in page.keys]
            cursor, at = page.cursor, at + 1
            if page.list_complete:
                break
        wanted = [name for name in stored if name.startswith(prefix)]
        assert found == sorted(wanted, key=str.encode)

    in_namespace(adapter, work)


@on_each_adapter
@settings(max_examples=25, deadline=None)
@given(
    ttls=st.dictionaries(keys, st.integers(60, 400), min_size=1, max_size=8),
    moments=st.lists(st.floats(0, 500), min_size=1, max_size=6).map(sorted),
)
def test_an_entry_lives_exactly_until_its_end(
    adapter: str, ttls: dict[str, int], moments: list[float]
) -> None:
    """At each moment, get, bulk get and list agree: there before the end, gone from it on."""

    async def work(kv: KVNamespace, clock: Clock) -> None:
        await kv.put_many(KVPut(name, "v", expiration_ttl=ttl) for name, ttl in ttls.items())
        ends = {START + ttl - START for ttl in ttls.values()}
        for moment in sorted({*moments, *ends, *(end - 0.001 for end in ends)}):
            clock.now = START + moment
            living = {name for name, ttl in ttls.items() if clock.now < START + ttl}
            assert {key.name for key in (await kv.list()).keys} == living
            many = await kv.get_many(ttls)
            assert {name for name, value in many.items() if value} == living
            for name in ttls:
                assert (await kv.get(name) is not None) == (name in living)

    in_namespace(adapter, work)


@on_each_adapter
@settings(max_examples=30, deadline=None)
@given(
    entries=st.dictionaries(
        keys, st.tuples(st.binary(max_size=300) | texts, json_values), min_size=1, max_size=8
    ),
    is_bulk=st.booleans(),
)
def test_what_goes_in_comes_out(
    adapter: str, entries: dict[str, tuple[bytes | str, Any]], is_bulk: bool
) -> None:
    """Values byte for byte, metadata as JSON, by put and by put_many alike."""
    puts = [
        KVPut(name, value, metadata=metadata)
        for name, (value, metadata) in entries.items()
        if len(json.dumps(metadata, ensure_ascii=False).encode()) <= MAX_METADATA_BYTES
    ]

    async def work(kv: KVNamespace, _: Clock) -> None:
        if is_bulk:
            await kv.put_many(puts)
        else:
            for put in puts:
                await kv.put(put.key, put.value, metadata=put.metadata)
        for put in puts:
            wanted = put.value.encode() if isinstance(put.value, str) else put.value
            found = await kv.get_with_metadata(put.key, "bytes")
            assert found.value == wanted
            assert found.metadata == put.metadata
            assert type(found.metadata) is type(put.metadata)

    in_namespace(adapter, work)


short = st.text("ab", min_size=1, max_size=3)


@on_each_adapter
@settings(max_examples=30, deadline=None)
@given(
    stored=st.sets(short, max_size=14),
    steps=st.lists(
        st.lists(st.tuples(st.sampled_from(["put", "delete", "end"]), short), max_size=3),
        max_size=8,
    ),
    limit=st.integers(1, 4),
)
def test_a_list_is_stable_while_keys_come_and_go(
    adapter: str, stored: set[str], steps: list[list[tuple[str, str]]], limit: int
) -> None:
    """What is there all the time comes exactly once and in order; nothing that never was comes."""

    async def work(kv: KVNamespace, clock: Clock) -> None:
        await kv.put_many(KVPut(name, "") for name in stored)
        always, ever = set(stored), set(stored)
        found: list[str] = []
        cursor = None
        changes = iter(steps)
        while True:
            page = await kv.list(limit=limit, cursor=cursor)
            found += [key.name for key in page.keys]
            if page.list_complete:
                break
            cursor = page.cursor
            for kind, name in next(changes, []):
                always.discard(name)
                if kind == "delete":
                    await kv.delete(name)
                    continue
                ever.add(name)
                await kv.put(name, "", expiration_ttl=60 if kind == "end" else None)
                clock.now += 61 if kind == "end" else 0
        assert found == sorted(set(found))
        assert always <= set(found) <= ever

    in_namespace(adapter, work)


@given(st.text(max_size=600))
def test_a_key_is_judged_by_its_bytes(key: str) -> None:
    """Every text is either a key of 1 to 512 bytes of UTF-8, or refused."""
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        length = 10**6
    is_key = 1 <= length <= 512 and key not in (".", "..")
    assert _is_accepted(key) == is_key


def _is_accepted(key: str) -> bool:
    try:
        check_key(key, "GET")
    except (TypeError, KVError):
        return False
    return True
