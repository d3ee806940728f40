"""Many messages at a time: floods, what has not left yet, many rows, room given back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from durable.contract import DurableObject, SqlError
from durable.local_socket import LocalSocket, local_pair
from durable.socket_frames import Closed
from tests.bindings.durable_world import World
from tests.bindings.durable_world import made_world as world
from tests.support.waiting import PATIENCE, until

__all__ = ["world"]


class Stream(DurableObject):
    """Answers every message, counts its turns, keeps rows."""

    heard: list[tuple[str, int]]

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.heard = []

    async def fetch(self, seconds: float) -> LocalSocket:
        client, server = local_pair()
        self.ctx.accept_web_socket(server)
        if seconds:
            assert server.close_after(seconds, 4401, "over")
        return client

    async def web_socket_message(self, ws: LocalSocket, message: str | bytes) -> None:
        self.heard.append((str(message), id(asyncio.current_task())))
        if message == "slow":
            await asyncio.sleep(0)
        elif message == "section":
            self.ctx.block_concurrency_while(self._section)
        elif message == "write":
            await self.ctx.storage.put("n", len(self.heard))
            ws.send_many(["1", b"2", "3"])

    async def _section(self) -> None:
        await asyncio.sleep(0.02)
        self.heard.append(("section ends", 0))

    async def log(self) -> list[list[Any]]:
        return [list(one) for one in self.heard]

    async def unsent(self) -> list[int]:
        return [ws.buffered_amount for ws in self.ctx.get_web_sockets()]

    async def extend(self) -> None:
        [ws] = self.ctx.get_web_sockets()
        ws.close_after(60, 4401)

    async def fill(self, rows: list[Any]) -> list[list[Any]]:
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b TEXT, c BLOB)")
        sql.exec_many("INSERT INTO t VALUES (?, ?, ?)", rows)
        return [list(row) for row in sql.exec("SELECT * FROM t ORDER BY a").raw()]

    async def write_badly(self, statement: str, rows: list[Any]) -> None:
        self.ctx.storage.sql.exec_many(statement, rows)

    async def empty(self) -> None:
        self.ctx.storage.sql.exec("DELETE FROM t")


async def open_stream(world: World, seconds: float = 0) -> LocalSocket:
    """Connect to the object."""
    client: LocalSocket = await world.stub(Stream).fetch(seconds)
    return client


async def heard(world: World) -> list[list[Any]]:
    """What the object heard, and in which task."""
    await world.settle()
    found: list[list[Any]] = await world.stub(Stream).call("log")
    return found


async def test_a_flood_is_worked_off_in_order_by_few_tasks(world: World) -> None:
    """A hundred messages of one turn share a task; who gives way ends the stretch."""
    client = await open_stream(world)
    for number in range(100):
        assert client.feed(str(number)) is False
    log = await heard(world)
    assert [name for name, _ in log] == [str(number) for number in range(100)]
    assert len({task for _, task in log}) <= 5

    for name in ("slow", "a", "b"):
        client.feed(name)
    (_, slow), (_, a), (_, b) = (await heard(world))[100:]
    assert slow != a == b


async def test_a_message_does_not_overtake_a_closed_gate(world: World) -> None:
    """A critical section that the message before began holds the next one."""
    client = await open_stream(world)
    client.feed("section")
    client.feed("after")

    async def all_was_heard() -> bool:
        return len(await heard(world)) == 3

    await until(all_was_heard)
    assert [name for name, _ in await heard(world)] == ["section", "section ends", "after"]


async def test_a_feeder_is_told_when_the_object_is_behind(world: World) -> None:
    """By number, and by bytes; `writable` then waits until it has caught up."""
    client = await open_stream(world)
    assert not any(client.feed("slow") for _ in range(200))
    assert any(client.feed("slow") for _ in range(200))
    await asyncio.wait_for(client.writable(), PATIENCE)
    await world.settle()
    assert [client.feed(b"x" * 400_000) for _ in range(3)] == [False, False, True]
    await asyncio.wait_for(client.writable(), PATIENCE)


async def test_what_the_network_has_not_taken_is_counted(world: World) -> None:
    """Held by the gate, waiting for the host, in the host's own buffer: all of it."""
    client = await open_stream(world)
    client.feed("write")
    await world.settle()
    assert await world.stub(Stream).call("unsent") == [3]
    assert [await client.receive() for _ in range(3)] == ["1", b"2", "3"]
    assert await world.stub(Stream).call("unsent") == [0]
    client.network_buffer = lambda: 500
    assert await world.stub(Stream).call("unsent") == [500]


async def test_a_close_is_received_after_all_that_was_sent_before(world: World) -> None:
    """`receive` gives the messages first, then the end."""
    client = await open_stream(world)
    client.feed("write")
    await world.settle()
    await world.actors.close()
    assert [await client.receive() for _ in range(3)] == ["1", b"2", "3"]
    assert await client.receive() == Closed(1001, "The server is going away.")
    await world.open()


async def test_a_socket_closes_by_itself_also_while_the_object_sleeps(world: World) -> None:
    """At its time, with code and reason; hibernation does not change that."""
    client = await open_stream(world, 0.05)
    await world.hibernate()
    assert await asyncio.wait_for(client.receive(), PATIENCE) == Closed(4401, "over")


async def test_the_last_time_to_close_counts_and_a_closed_socket_has_none(world: World) -> None:
    """No timer outlives its socket."""
    client = await open_stream(world, 0.3)
    await world.stub(Stream).call("extend")
    await asyncio.sleep(0.4)
    assert client.ready_state == 1
    client.drop()
    await world.settle()
    assert await world.stub(Stream).call("unsent") == []


async def test_many_rows_at_once_are_bound_as_one_by_one(world: World) -> None:
    """Numbers, texts, bytes, None, mixed columns, texts beyond ASCII."""
    rows = [[1, "a", b"x"], [2, "\u00e4", None], [3, None, b""], [4, "true", "text"]]
    assert await world.stub(Stream).call("fill", rows) == rows
    assert await world.stub(Stream).call("fill", []) == rows
    more = [[n, "x", b"y"] for n in range(10, 200)]
    assert (await world.stub(Stream).call("fill", more))[4:] == more


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("INSERT INTO t VALUES (?, ?, ?)", [[1, "a"]]),
        ("INSERT INTO t VALUES (?, ?, ?)", [[1, "a", b"x"], [2, "b"]]),
        ("INSERT INTO t VALUES (1, 'a', x'00'); DELETE FROM t WHERE a = ?", [[1]]),
        ("SELECT * FROM t WHERE a = ?", [[1]]),
        ("INSERT INTO nowhere VALUES (?)", [[1]]),
        ("DELETE FROM _cf_KV WHERE key = ?", [["a"]]),
    ],
)
async def test_many_rows_are_checked(world: World, statement: str, rows: list[Any]) -> None:
    """Wrong counts, several statements, reads and hidden tables are refused, and nothing stays."""
    await world.stub(Stream).call("fill", [])
    with pytest.raises((SqlError, ValueError)):
        await world.stub(Stream).call("write_badly", statement, rows)
    assert await world.stub(Stream).call("fill", []) == []


async def test_a_file_gives_its_room_back_when_the_object_falls_asleep(world: World) -> None:
    """What was deleted leaves the disk (SQLite alone would keep the pages)."""
    await world.stub(Stream).call("fill", [[n, "", b"x" * 4000] for n in range(500)])
    [file] = Path(world.directory).rglob("Stream/**/*.sqlite")
    await world.hibernate()
    await asyncio.to_thread(world.actors.files.finish)
    assert file.stat().st_size > 2_000_000
    await world.stub(Stream).call("empty")
    await world.hibernate()
    await asyncio.to_thread(world.actors.files.finish)
    assert file.stat().st_size < 100_000
