"""An object whose file something damaged: the call that meets it is told, the next finds it new."""

from pathlib import Path
from typing import Any

import pytest

from durable.contract import DurableObject, ObjectResetError
from durable.errors import SqlError
from tests.bindings.durable_world import World, made_world

world = made_world


class Shelf(DurableObject):
    """Keeps values and rows over many pages, and reads them in every way there is."""

    async def fill(self) -> None:
        """Store some 400 KB."""
        self.ctx.storage.sql.exec("CREATE TABLE t(a)")
        for number in range(200):
            await self.ctx.storage.put(f"k{number:03}", "x" * 1000)
            self.ctx.storage.sql.exec("INSERT INTO t VALUES (?)", "y" * 1000)

    async def get(self) -> Any:
        """Read one value."""
        return await self.ctx.storage.get("k100")

    async def listed(self) -> Any:
        """Read all values."""
        return len(await self.ctx.storage.list())

    async def put(self) -> Any:
        """Write over what there is."""
        for number in range(200):
            await self.ctx.storage.put(f"k{number:03}", "z")
        await self.ctx.storage.sync()

    async def sql(self) -> Any:
        """Read rows, and take no for an answer as a careful actor would."""
        try:
            return len(self.ctx.storage.sql.exec("SELECT * FROM t").to_array())
        except SqlError:
            return "refused"

    async def alone(self) -> Any:
        """Read with the gate closed."""
        return await self.ctx.block_concurrency_while(self.listed)

    async def in_transaction(self) -> Any:
        """Read and write in a transaction."""

        async def both(_: Any) -> Any:
            return await self.put()

        return await self.ctx.storage.transaction(both)

    async def empty(self) -> Any:
        """Remove everything."""
        await self.ctx.storage.delete_all()
        await self.ctx.storage.sync()


def only_file(world: World) -> Path:
    """Return the file of the one object."""
    [path] = (world.directory / "Shelf").rglob("*.sqlite")
    return path


@pytest.mark.parametrize(
    "method", ["get", "listed", "put", "sql", "alone", "in_transaction", "empty"]
)
@pytest.mark.parametrize("begin", [0, 4096, 8192])
async def test_a_damaged_object_begins_anew(world: World, method: str, begin: int) -> None:
    """Whatever the call that meets it; the old file is kept, and nothing of it comes back."""
    space = world.bind(Shelf)
    await space.get_by_name("s").call("fill")
    await world.restart()
    path = only_file(world)
    data = path.read_bytes()
    path.write_bytes(data[:begin] + b"\xff" * (len(data) - begin))
    space = world.spaces["Shelf"]

    with pytest.raises(ObjectResetError) as told:
        await space.get_by_name("s").call(method)
    assert told.value.retryable
    assert [fields["id"] for event, fields in world.logged if "damaged" in event] == [path.stem]
    assert len(list(path.parent.glob("*.damaged-*"))) == 1
    assert await space.get_by_name("s").call("listed") == 0
    await space.get_by_name("s").call("put")
    assert await space.get_by_name("s").call("listed") == 200
    await world.restart()
    assert await world.spaces["Shelf"].get_by_name("s").call("listed") == 200


async def test_an_object_asked_for_by_its_digits_begins_anew(world: World) -> None:
    """Its name stood in the file alone."""
    space = world.bind(Shelf)
    key = space.id_from_name("s")
    await space.get(key).call("fill")
    await world.restart()
    only_file(world).write_bytes(b"rubbish" * 1000)
    space = world.spaces["Shelf"]
    assert await space.get(space.id_from_string(key.hex)).call("listed") == 0
    await space.get_by_name("s").call("fill")
    assert await space.get(space.id_from_string(key.hex)).call("listed") == 200
