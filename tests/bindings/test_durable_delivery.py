"""Delivery: the input gate, the output gate, resets and what a stub says (facts D2, H5)."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from durable.contract import DurableObject, ObjectResetError, OverloadedError
from durable.timing import Timing
from tests.bindings.durable_world import World, made_world
from tests.support.waiting import until

world = made_world

TOO_LONG = (
    "A call to blockConcurrencyWhile() in a Durable Object waited for too long. "
    "The call was canceled and the Durable Object was reset."
)


class Room(DurableObject):
    """An actor that does what the test sends it, and knows how often it was constructed."""

    constructed = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        type(self).constructed += 1
        self.number = type(self).constructed
        self.seen: list[str] = []

    async def who(self) -> int:
        return self.number

    async def add(self, key: str = "n", wait: float = 0) -> int:
        value: int = (await self.ctx.storage.get(key) or 0) + 1
        if wait:
            await asyncio.sleep(wait)
        await self.ctx.storage.put(key, value)
        return value

    async def read(self, key: str = "n") -> Any:
        return await self.ctx.storage.get(key)

    async def add_blocked(self, wait: float) -> Any:
        return await self.ctx.block_concurrency_while(lambda: self.add("n", wait))

    async def add_in_transaction(self, wait: float) -> Any:
        async def body(txn: Any) -> int:
            value: int = (await txn.get("n") or 0) + 1
            await asyncio.sleep(wait)
            await txn.put("n", value)
            return value

        return await self.ctx.storage.transaction(body)

    async def note_after(self, wait: float) -> list[str]:
        await asyncio.sleep(wait)
        self.seen.append("event")
        return self.seen

    async def note_blocked(self, wait: float) -> None:
        async def section() -> None:
            await asyncio.sleep(wait)
            self.seen.append("section")

        await self.ctx.block_concurrency_while(section)

    async def fail_in_transaction(self, wait: float) -> None:
        async def body(txn: Any) -> None:
            await asyncio.sleep(wait)
            raise LookupError

        await self.ctx.storage.transaction(body)

    async def add_in_task(self) -> None:
        async def later() -> None:
            await asyncio.sleep(0.002)
            await self.ctx.storage.put("task", 1)

        task = asyncio.ensure_future(later())
        await asyncio.sleep(0)
        await task

    async def put_then_raise(self) -> None:
        await self.ctx.storage.put("kept", 1)
        raise LookupError("after the write")

    async def put_then_abort(self) -> None:
        await self.ctx.storage.put("lost", 1)
        self.ctx.abort("enough")

    async def put_sync_abort(self) -> None:
        await self.ctx.storage.put("synced", 1)
        await self.ctx.storage.sync()
        await self.ctx.storage.put("lost", 1)
        self.ctx.abort(LookupError("enough"))

    async def swallow_abort(self) -> str:
        try:
            self.ctx.abort("enough")
        except Exception:
            return "went on"
        return "went on"

    async def block_forever(self) -> None:
        await self.ctx.block_concurrency_while(asyncio.Event().wait)

    async def rollback_by_sql(self) -> None:
        sql = self.ctx.storage.sql
        await self.ctx.storage.put("lost", 1)
        sql.exec("CREATE TABLE u(a UNIQUE); INSERT INTO u VALUES (1)")
        sql.exec("INSERT OR ROLLBACK INTO u VALUES (1)")

    async def steps(self, name: str) -> list[str]:
        for i in range(3):
            self.seen.append(f"{name}{i}")
            await asyncio.sleep(0)
        return self.seen

    async def nest(self) -> list[int]:
        async def inner() -> int:
            return await self.add()

        async def outer() -> list[int]:
            return [await self.ctx.block_concurrency_while(inner), await self.add()]

        found: list[int] = await self.ctx.block_concurrency_while(outer)
        return found

    async def two_transactions(self) -> Any:
        first, second = self.add_in_transaction(0.001), self.add_in_transaction(0)
        return await asyncio.gather(first, second)

    async def later(self, value: int) -> None:
        self.go = asyncio.Event()

        async def work() -> None:
            await self.go.wait()
            await self.ctx.storage.put("later", value)

        self.ctx.wait_until(work())

    async def go_on(self) -> None:
        self.go.set()

    def plain(self, a: int, b: int) -> int:
        return a + b

    async def mutate(self, value: list[int]) -> list[int]:
        value.append(1)
        self.value = value
        return value

    async def ask(self, name: str) -> Any:
        await self.ctx.storage.put("asked", name)
        return await self.env.get_by_name(name).call("read", "asked")


class Guarded(DurableObject):
    """Sets itself up in the constructor."""

    async def _set_up(self) -> None:
        await asyncio.sleep(0.002)
        self.ready = True
        if await self.ctx.storage.get("broken"):
            raise RuntimeError("no set-up")

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.ready = False
        ctx.block_concurrency_while(self._set_up)

    async def is_ready(self) -> bool:
        return self.ready

    async def break_it(self) -> None:
        await self.ctx.storage.put("broken", True)


async def test_an_external_await_opens_the_gate_and_a_critical_section_closes_it(
    world: World,
) -> None:
    """Ten parallel add-ones with a wait inside lose updates; in a critical section, none."""
    stub = world.stub(Room)

    assert await asyncio.gather(*(stub.call("add", "m", 0.002) for _ in range(10))) == [1] * 10
    blocked = await asyncio.gather(*(stub.call("add_blocked", 0.001) for _ in range(10)))
    assert blocked == list(range(1, 11))


async def test_a_transaction_is_a_critical_section(world: World) -> None:
    """Parallel transactions take turns, also two of one event, and plain events wait."""
    stub = world.stub(Room)

    calls = [stub.call("add_in_transaction", 0.001) for _ in range(5)]
    assert await asyncio.gather(*calls, stub.call("add")) == [1, 2, 3, 4, 5, 6]
    assert await stub.call("two_transactions") == [7, 8]


async def test_a_section_holds_events_that_had_begun(world: World) -> None:
    """An event that wakes up while another holds the gate goes on after it."""
    stub = world.stub(Room)

    early, blocked = stub.call("add", "n", 0.002), stub.call("add_blocked", 0.03)
    assert await asyncio.gather(early, blocked) == [1, 1]
    assert await stub.call("read") == 1
    order = await asyncio.gather(stub.call("note_after", 0.002), stub.call("note_blocked", 0.03))
    assert order[0] == ["section", "event"]


async def test_a_child_task_cannot_write_into_anothers_transaction(world: World) -> None:
    """What an event's own subtask writes is not rolled back with somebody else's transaction."""
    stub = world.stub(Room)

    results = await asyncio.gather(
        stub.call("add_in_task"), stub.call("fail_in_transaction", 0.01), return_exceptions=True
    )

    assert isinstance(results[1], LookupError)
    assert await stub.call("read", "task") == 1


async def test_critical_sections_nest(world: World) -> None:
    """A section started inside a section runs inside it instead of waiting for its end."""
    assert await world.stub(Room).call("nest") == [1, 2]


async def test_two_objects_do_not_wait_for_each_other(world: World) -> None:
    """An object that sleeps in a critical section does not delay another one."""
    slow = asyncio.ensure_future(world.stub(Room, "a").call("add_blocked", 0.05))
    assert await world.stub(Room, "b").call("add") == 1
    assert not slow.done()
    assert await slow == 1


async def test_calls_of_one_stub_arrive_in_order(world: World) -> None:
    """Events start in the order of the calls and interleave at their awaits."""
    stub = world.stub(Room)

    *_, seen = await asyncio.gather(stub.call("steps", "a"), stub.call("steps", "b"))

    assert seen == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_an_exception_keeps_the_writes(world: World) -> None:
    """A handler that raises has still written, and its caller gets class and message."""
    stub = world.stub(Room)

    with pytest.raises(LookupError, match="after the write") as caught:
        await stub.call("put_then_raise")
    assert getattr(caught.value, "remote", False) is True
    assert await stub.call("read", "kept") == 1


@pytest.mark.parametrize(
    ("method", "kind"), [("put_then_abort", ObjectResetError), ("put_sync_abort", LookupError)]
)
async def test_abort_undoes_what_is_not_flushed(
    world: World, method: str, kind: type[Exception]
) -> None:
    """Writes since the last boundary are lost, those before it stay; callers get the reason."""
    stub = world.stub(Room)
    first = await stub.call("who")

    with pytest.raises(kind, match="enough"):
        await stub.call(method)

    fresh = world.stub(Room)
    assert await fresh.call("who") == first + 1
    assert await fresh.call("read", "lost") is None
    assert await fresh.call("read", "synced") == (1 if method == "put_sync_abort" else None)


async def test_abort_reaches_every_caller_and_passes_except_exception(world: World) -> None:
    """Events that were waiting get the reason too; the aborting event cannot go on."""
    stub = world.stub(Room)
    waiting = asyncio.ensure_future(stub.call("add", "n", 10))
    await asyncio.sleep(0)

    for call in (stub.call("swallow_abort"), waiting):
        with pytest.raises(ObjectResetError, match="enough"):
            await call
    with pytest.raises(ObjectResetError, match="enough"):
        await stub.call("who")


async def test_no_reply_leaves_before_its_commit(world: World) -> None:
    """When the commit fails, no caller of that moment gets a reply and the object is fresh."""
    stub = world.stub(Room)
    first = await stub.call("who")
    world.failing_commits = 1

    results = await asyncio.gather(
        stub.call("add"), stub.call("add"), stub.call("read"), return_exceptions=True
    )

    assert [type(r) for r in results] == [ObjectResetError] * 3
    assert "disk full" in str(results[0])
    fresh = world.stub(Room)
    assert await fresh.call("read") is None
    assert await fresh.call("who") == first + 1


async def test_events_that_wait_together_share_a_commit(world: World) -> None:
    """Twenty calls that arrive at once cost one commit, not twenty."""
    stub = world.stub(Room)
    await stub.call("add")
    before = world.commits

    await asyncio.gather(*(stub.call("add") for _ in range(20)))

    assert world.commits == before + 1


async def test_writes_are_durable_before_another_object_is_asked(world: World) -> None:
    """A call from one object to another is something that leaves: the commit comes first."""
    env = SimpleNamespace()
    space = world.bind(Room, env)
    env.get_by_name = space.get_by_name
    world.failing_commits = 1

    with pytest.raises(ObjectResetError):
        await space.get_by_name("a").call("ask", "b")

    assert [o.id.name for o in world.actors.live("Room")] == []
    assert await space.get_by_name("a").call("ask", "b") is None


async def test_a_statement_that_ends_the_transaction_resets_the_object(world: World) -> None:
    """INSERT OR ROLLBACK cannot leave half of an event's writes behind."""
    with pytest.raises(ObjectResetError):
        await world.stub(Room).call("rollback_by_sql")
    assert await world.stub(Room).call("read", "lost") is None


async def test_a_section_that_takes_too_long_resets_the_object(world: World) -> None:
    """After the limit the section is cut and every caller gets Cloudflare's text."""
    world.timing = Timing(section_seconds=0.01)
    await world.restart()
    stub = world.stub(Room)

    calls = [stub.call("block_forever"), stub.call("who")]
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [str(r) for r in results] == [TOO_LONG, TOO_LONG]
    assert await world.stub(Room).call("add") == 1


async def test_the_constructor_is_a_place_for_set_up(world: World) -> None:
    """Events wait for a section started in the constructor; its failure resets the object."""
    stub = world.stub(Guarded)
    assert await stub.call("is_ready") is True
    await stub.call("break_it")
    await world.hibernate()

    for _ in range(2):
        with pytest.raises(RuntimeError, match="no set-up"):
            await world.stub(Guarded).call("is_ready")


async def test_wait_until_keeps_the_object(world: World) -> None:
    """Work that was promised goes on after the reply, and its writes are kept."""
    stub = world.stub(Room)
    await stub.call("later", 7)
    await world.pass_time(1000)
    assert [o.is_awake for o in world.actors.live("Room")] == [True]

    await stub.call("go_on")
    await world.settle()

    assert await stub.call("read", "later") == 7


async def test_plain_methods_answer_and_data_is_copied(world: World) -> None:
    """A method without async answers too; neither side can change the other's lists."""
    stub = world.stub(Room)
    assert await stub.call("plain", 1, 2) == 3
    mine = [0]

    theirs = await stub.call("mutate", mine)

    assert (mine, theirs) == ([0], [0, 1])


@pytest.mark.parametrize("name", ["fetch", "alarm", "web_socket_message", "constructor"])
async def test_handlers_of_the_runtime_are_not_callable(world: World, name: str) -> None:
    """A reserved name is refused with Cloudflare's text."""
    with pytest.raises(TypeError, match=f"'{name}' is a reserved method and cannot be called"):
        await world.stub(Room).call(name)


@pytest.mark.parametrize("name", ["_private", "__init__", "number", "constructed", "ctx", ""])
async def test_only_public_methods_are_callable(world: World, name: str) -> None:
    """Private names, instance and class attributes do not exist for a caller."""
    with pytest.raises(TypeError, match=r'does not implement the method ".*"\.'):
        await world.stub(Room).call(name)


async def test_too_many_waiting_events_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object whose queue is full says that it is overloaded."""
    monkeypatch.setattr("durable.instance.MAX_WAITING", 3)
    stub = world.stub(Room)
    block = asyncio.ensure_future(stub.call("add_blocked", 0.3))
    await asyncio.sleep(0)
    calls = [asyncio.ensure_future(stub.call("add")) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    with pytest.raises(OverloadedError, match="Too many requests queued") as caught:
        await stub.call("add")

    assert caught.value.overloaded
    assert await asyncio.gather(block, *calls) == [1, 2, 3, 4]


async def test_a_caller_that_goes_away_does_not_stop_the_event(world: World) -> None:
    """A cancelled caller gets nothing; the event itself runs to its end."""
    stub = world.stub(Room)
    call = asyncio.ensure_future(stub.call("add", "n", 0.005))
    await asyncio.sleep(0)
    call.cancel()

    async def has_run() -> bool:
        return bool(await stub.call("read") == 1)

    await until(has_run)


async def test_a_rolled_back_instance_cannot_write(world: World) -> None:
    """What an aborted event still tries in its finally block does not reach the file."""

    class Stubborn(DurableObject):
        async def go(self) -> None:
            try:
                self.ctx.abort("enough")
            finally:
                self.ctx.storage.kv.put("late", 1)

        async def read(self) -> Any:
            return await self.ctx.storage.get("late")

    with pytest.raises(ObjectResetError, match="enough"):
        await world.stub(Stubborn).call("go")
    assert await world.stub(Stubborn).call("read") is None
