"""The number of profiles: kept, exact after faults and moves, and never a scan."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from kv.checks import KVUnavailable
from kv.contract import KVNamespace
from tests.support.profiles import ids, line, many, ndjson
from tests.support.running_host import RunningHost
from worker.profiles.store.profiles import Row, open_store


async def test_the_count_is_that_of_the_list(either: RunningHost) -> None:
    """New ones count once, however often and by whom they are imported; deleted ones no more."""
    assert await either.total() == 0
    assert (await either.send_profiles(many(700))).status == 200
    assert await either.total() == 700
    bodies = [many(900), many(800), ndjson([line("usr_000001", age=20), line("usr_zzzzzz")])]
    queries = ["", "?mode=atomic", ""]
    await asyncio.gather(*map(either.send_profiles, bodies, queries))
    assert await either.total() == len(await either.stored()) == 901
    await open_store(either.env).delete_many([*ids(5), "usr_nobody1"])
    assert await either.total() == len(await either.stored()) == 896


async def test_asking_does_not_read_the_store(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once counted, the answer comes from the counter alone: neither lists nor reads of KV."""
    await host.send_profiles(many(50))
    assert await host.total() == 50

    async def refuse(*_args: Any, **_options: Any) -> Any:
        raise KVUnavailable("GET")

    for name in ("list", "get_many", "get"):
        monkeypatch.setattr(KVNamespace, name, refuse)
    assert await host.total() == 50


async def test_profiles_of_before_are_counted(host: RunningHost) -> None:
    """A state of an earlier version has profiles and no counter."""
    for profile_id in ids(1500):
        await host.env.profiles_kv.put(f"profile:{profile_id}", "{}")
    assert await host.total() == 1500
    await host.send_profiles(line("usr_onemore"))
    assert await host.total() == 1501


async def test_a_write_that_failed_in_its_middle_is_looked_up(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what was kept, so the count asks KV for those few."""
    assert await host.total() == 0
    whole = KVNamespace.put_many

    async def half(kv: KVNamespace, puts: Sequence[Any]) -> None:
        await whole(kv, list(puts)[: len(puts) // 2])
        raise KVUnavailable("PUT")

    monkeypatch.setattr(KVNamespace, "put_many", half)
    with pytest.raises(KVUnavailable):
        await open_store(host.env).put_many([Row(one, "{}") for one in ids(300)], "imp", 0)
    assert await host.total() == 150


async def test_what_was_written_past_the_counter_is_found_at_night(either: RunningHost) -> None:
    """By `edgekeep kv`, the console, a statement of SQL: the nightly job counts anew."""
    from worker.profiles.count import recount_nightly

    await either.send_profiles(many(10))
    assert await either.total() == 10
    if either.env.settings.profile_store == "kv":
        await either.env.profiles_kv.delete("profile:usr_000003")
    else:
        replace = "INSERT OR REPLACE INTO profiles SELECT * FROM profiles LIMIT 3"
        await either.env.db.prepare(replace).run()
    await recount_nightly(either.env)
    assert await either.total() == len(await either.stored())


async def test_a_recount_under_way_loses_nobody(host: RunningHost) -> None:
    """Imports and deletions meanwhile are in the new count as well."""
    await host.send_profiles(many(2000))
    counter = host.env.profile_count.get_by_name("profiles")
    store = open_store(host.env)
    await asyncio.gather(
        counter.call("recount"),
        host.send_profiles(ndjson([line(f"usr_late{number:03d}") for number in range(300)])),
        store.delete_many(ids(40)),
        counter.call("recount"),
    )
    assert await host.total() == len(await host.stored()) == 2260
