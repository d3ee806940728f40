"""What stays in memory and on disk: eviction, open files, deletion, listing, shutting down."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from durable.contract import ActorsClosedError, DurableObject, ObjectResetError
from durable.timing import Timing
from tests.bindings.durable_world import World, made_world

world = made_world

FAST = Path("/dev/shm")
"""Where fsync is free: one test counts descriptors and does not want to measure the disk."""


class Box(DurableObject):
    """Keeps a value in memory and one in storage."""

    constructed = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        type(self).constructed += 1
        self.memory = 0

    async def add(self) -> list[int]:
        self.memory += 1
        stored: int = (await self.ctx.storage.get("n") or 0) + 1
        await self.ctx.storage.put("n", stored)
        return [self.memory, stored]

    async def peek(self) -> Any:
        return [await self.ctx.storage.get("n"), len(await self.ctx.storage.list())]

    async def fill(self) -> None:
        sql = self.ctx.storage.sql
        sql.exec(
            "CREATE TABLE p(id INTEGER PRIMARY KEY AUTOINCREMENT);"
            "CREATE TABLE c(p NOT NULL REFERENCES p(id));"
            "CREATE VIEW v AS SELECT * FROM p;"
            "CREATE VIRTUAL TABLE f USING fts5(t);"
            "CREATE TRIGGER no_delete BEFORE DELETE ON p BEGIN SELECT RAISE(ABORT, 'no'); END;"
            "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1); INSERT INTO f VALUES ('x')"
        )
        await self.ctx.storage.put("n", 1)
        await self.ctx.storage.set_alarm(4_000_000_000_000)

    async def tables(self) -> list[str]:
        rows = self.ctx.storage.sql.exec(
            "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\' "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        return [row["name"] for row in rows]

    async def clear(self) -> Any:
        await self.ctx.storage.delete_all()
        return [await self.ctx.storage.get("n"), await self.ctx.storage.get_alarm()]

    async def clear_then_abort(self) -> None:
        await self.ctx.storage.delete_all()
        self.ctx.abort("enough")

    async def clear_then_put(self) -> None:
        await self.ctx.storage.delete_all()
        await self.ctx.storage.put("n", 5)

    async def wait(self) -> None:
        await self.ctx.storage.put("n", 9)
        await asyncio.Event().wait()

    async def name(self) -> str | None:
        return self.ctx.id.name

    def nothing(self) -> None:
        return None


def files(world: World) -> list[Path]:
    """The object files on disk."""
    return sorted((world.directory / "Box").glob("*/*"))


def open_descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_an_idle_instance_leaves_memory_and_comes_back(world: World) -> None:
    """After the idle time only what was stored is left; before it, the instance stays."""
    stub = world.stub(Box)
    await stub.call("add")
    await world.pass_time(world.timing.idle_seconds - 1)
    assert await stub.call("add") == [2, 2]

    await world.hibernate()
    assert world.actors.live("Box") == []

    assert await stub.call("add") == [1, 3]


async def test_an_object_that_stores_nothing_has_no_file(world: World) -> None:
    """Calls and reads leave no trace on disk."""
    stub = world.stub(Box)
    await stub.call("nothing")
    assert await stub.call("peek") == [None, 0]
    assert files(world) == []
    await stub.call("add")
    assert [f.name for f in files(world) if f.suffix == ".sqlite"] == [f"{stub.id}.sqlite"]


async def test_two_thousand_objects_share_few_open_files(world: World) -> None:
    """All of them live, and answer again, with fewer than 300 descriptors of this process."""
    await world.actors.close()
    if FAST.is_dir():
        world.directory = FAST / f"edgekeep-{os.getpid()}"
    await world.open()
    stubs = [world.stub(Box, f"b{n}") for n in range(2000)]
    await asyncio.gather(*(stub.call("add") for stub in stubs))

    assert len(world.actors.live("Box")) == 2000
    assert open_descriptors() < 300
    assert await asyncio.gather(*(s.call("add") for s in stubs[::100])) == [[2, 2]] * 20
    if FAST.is_dir():
        shutil.rmtree(world.directory)


async def test_delete_all_takes_values_tables_and_alarm(world: World) -> None:
    """Also with foreign keys, triggers, views and full-text tables; then the file goes."""
    stub = world.stub(Box)
    await stub.call("fill")
    assert set(await stub.call("tables")) >= {"p", "c", "v", "f", "no_delete"}

    assert await stub.call("clear") == [None, None]
    assert await stub.call("tables") == []
    assert world.actors.alarms.due("Box", stub.id.hex) is None
    await world.hibernate()
    assert files(world) == []
    assert await stub.call("add") == [1, 1]


@pytest.mark.parametrize(("method", "left"), [("clear_then_abort", 1), ("clear_then_put", 5)])
async def test_delete_all_belongs_to_the_transaction(world: World, method: str, left: int) -> None:
    """An abort brings everything back; a later write keeps the file."""
    stub = world.stub(Box)
    await stub.call("fill")
    if method == "clear_then_abort":
        with pytest.raises(ObjectResetError):
            await stub.call(method)
    else:
        await stub.call(method)
    await world.hibernate()

    assert await world.stub(Box).call("peek") == [left, 1]


async def test_the_listing_shows_who_lives_and_who_has_a_file(world: World) -> None:
    """Names are in the files; size, alarm and liveness come with them; pages go by id."""
    for name in ("one", "two", "three"):
        await world.stub(Box, name).call("fill")
    nameless = world.spaces["Box"].new_unique_id()
    await world.spaces["Box"].get(nameless).call("add")
    await world.hibernate()
    await world.stub(Box, "two").call("nothing")

    assert world.actors.class_names == ["Box"]
    assert [o.id.name for o in world.actors.live("Box")] == ["two"]
    stored = world.actors.stored("Box")
    assert {o.id.name for o in stored} == {"one", "two", "three", None}
    assert {o.id.name for o in stored if o.is_live} == {"two"}
    assert {o.alarm_ms for o in stored if o.id.name} == {4_000_000_000_000}
    assert all(o.size_bytes >= 8192 for o in stored)
    pages = [world.actors.stored("Box", limit=1, after=o.id.hex) for o in stored]
    assert [p[0].id for p in pages[:-1]] == [o.id for o in stored[1:]]
    assert pages[-1] == []
    with pytest.raises(KeyError):
        world.actors.live("Nobody")


async def test_an_id_from_digits_knows_its_stored_name(world: World) -> None:
    """An object woken by its digits alone still has the name it was made with."""
    stub = world.stub(Box, "ada")
    await stub.call("add")
    await world.hibernate()
    space = world.spaces["Box"]

    assert await space.get(space.id_from_string(stub.id.hex.upper())).call("name") == "ada"


async def test_closing_commits_and_tells_waiting_callers(world: World) -> None:
    """Events get a grace period; who is still waiting then gets an error; writes are kept."""
    world.timing = Timing(grace_seconds=0.01)
    await world.restart()
    stub = world.stub(Box)
    waiting = asyncio.ensure_future(stub.call("wait"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await world.actors.close()

    with pytest.raises(ActorsClosedError):
        await waiting
    with pytest.raises(ActorsClosedError):
        await world.stub(Box, "other").call("add")
    await world.open()
    assert await world.stub(Box).call("peek") == [9, 1]


async def test_class_names_are_checked(world: World) -> None:
    """A class is bound once, and its name is fit for a folder."""
    world.bind(Box)
    for name in ("Box", "../up", ""):
        with pytest.raises(ValueError, match=r"bound already|must be an identifier"):
            world.actors.bind(name, Box, None)


async def test_a_live_object_is_small(world: World) -> None:
    """A thousand idle live objects without open files take less than 10 KB each."""
    import tracemalloc

    world.max_open_files = 8
    await world.restart()
    world.bind(Box)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(1000):
            await world.stub(Box, f"b{n}").call("nothing")
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert grown / 1000 < 10_000
