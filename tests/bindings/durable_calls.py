"""The Worker half of golden/probe/do.js in Python: ids, stubs and calls, one per measured line."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from durable.contract import DurableObject
from tests.bindings.durable_probe import EPOCH, A, Obj, undefined
from tests.bindings.durable_world import World

Call = Callable[[World], Awaitable[Any]]
CALLS: dict[str, Call] = {}


def measured(name: str) -> Callable[[Call], Call]:
    """Register a function under the name of its line."""

    def register(function: Call) -> Call:
        CALLS[name] = function
        return function

    return register


class KvObj(DurableObject):
    """Another class, for ids of the wrong namespace."""


class Busy(DurableObject):
    """The parts of the probed class that race, block and break."""

    born = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.events: list[str] = []
        Busy.born += 1
        self.mine = Busy.born

    async def born_id(self) -> int:
        return self.mine

    async def incr(self) -> int:
        value: int = (await self.ctx.storage.get("r") or 0) + 1
        await self.ctx.storage.put("r", value)
        return value

    async def incr_after_wait(self) -> int:
        value: int = (await self.ctx.storage.get("r2") or 0) + 1
        await asyncio.sleep(0.005)
        await self.ctx.storage.put("r2", value)
        return value

    async def slow(self, ms: int) -> None:
        self.events.append(f"start{ms}")
        await asyncio.sleep(ms / 1000)
        self.events.append(f"end{ms}")

    async def quick(self) -> list[str]:
        self.events.append("q")
        return self.events

    async def bcw(self, ms: int) -> Any:
        async def section() -> int:
            self.events.append("b")
            await asyncio.sleep(ms / 1000)
            self.events.append("e")
            return 42

        return await self.ctx.block_concurrency_while(section)

    async def bcw_throw(self) -> Any:
        async def section() -> None:
            raise RuntimeError("init failed")

        return await self.ctx.block_concurrency_while(section)

    async def abort_me(self) -> None:
        self.ctx.abort("why")

    async def ring(self, fail_n: int, after_ms: int) -> None:
        await self.ctx.storage.put("failN", fail_n)
        await self.ctx.storage.set_alarm(self.env.ms + after_ms)

    async def alarm(self, info: Any) -> None:
        s = self.ctx.storage
        count = (await s.get("ac") or 0) + 1
        await s.put("ac", count)
        # As an offset from the start: the transcript's own clock is another one.
        await s.put("ainfo", [info.scheduled_time_ms, info.retry_count, info.is_retry])
        await s.put("ga", [await s.get_alarm()])
        if (await s.get("failN") or 0) >= count:
            raise RuntimeError(f"alarm fail {count}")

    async def alarm_state(self) -> Any:
        s = self.ctx.storage
        (found,) = await s.get("ga")
        return [await s.get("ac"), await s.get("ainfo"), found, await s.get_alarm()]


@measured("id shape")
async def _shape(w: World) -> Any:
    space = w.bind(Obj)
    one = space.id_from_name("x")
    return [len(str(one)), one.name, one == space.id_from_name("x"), one == space.id_from_name("y")]


@measured("newUniqueId")
async def _unique(w: World) -> Any:
    space = w.bind(Obj)
    one = space.new_unique_id()
    return [len(str(one)), undefined(one.name), one == space.new_unique_id()]


@measured("idFromString")
async def _from_string(w: World) -> Any:
    space = w.bind(Obj)
    copy = space.id_from_string(str(space.id_from_name("x")))
    return [copy == space.id_from_name("x"), undefined(copy.name)]


@measured("idFromString bad")
async def _from_bad_string(w: World) -> Any:
    return w.bind(Obj).id_from_string("zz")


@measured("idFromString wrong ns")
async def _from_wrong_string(w: World) -> Any:
    other = w.bind(KvObj).id_from_name("x")
    return w.bind(Obj).id_from_string(str(other))


@measured("idFromName ''")
async def _empty_name(w: World) -> Any:
    return len(str(w.bind(Obj).id_from_name("")))


@measured("getByName")
async def _by_name(w: World) -> Any:
    space = w.bind(Busy)
    by_id = space.get(space.id_from_name("main"))
    return await space.get_by_name("main").call("born_id") == await by_id.call("born_id")


@measured("stub props")
async def _props(w: World) -> Any:
    stub = w.stub(Obj)
    return [stub.name, len(str(stub.id))]


@measured("fetch")
async def _fetch(w: World) -> Any:
    return await w.stub(Obj).fetch("POST http://do/p?q=1 B")


@measured("fetch throw")
async def _fetch_throw(w: World) -> Any:
    return await w.stub(Obj).fetch("/throw")


@measured("fetch no response")
async def _fetch_none(w: World) -> Any:
    return await w.stub(Obj).fetch("/noresp")


@measured("rpc throw")
async def _throw(w: World) -> Any:
    try:
        await w.stub(Obj).call("throw_err")
    except TypeError as e:
        name = type(e).__name__
        lost = [undefined(getattr(e, n, None)) for n in ("retryable", "overloaded", "extra")]
        return [name, str(e), name, getattr(e, "remote", False), *lost, bool(e.__notes__)]


@measured("rpc missing method")
async def _missing(w: World) -> Any:
    return await w.stub(Obj).call("nope")


@measured("rpc prop getter")
async def _getter(w: World) -> Any:
    return await w.stub(Obj).call("prop")


@measured("rpc instance prop")
async def _instance(w: World) -> Any:
    return await w.stub(Obj).call("n")


@measured("rpc class instance")
async def _class_instance(w: World) -> Any:
    return await w.stub(Obj).call("ret_class")


@measured("rpc map/date")
async def _map(w: World) -> Any:
    found = await w.stub(Obj).call("ret_map")
    assert found == {"a": datetime(1970, 1, 1, tzinfo=UTC)}
    return {"«Map»": [["a", "Date(1970-01-01T00:00:00.000Z)"]]}


@measured("rpc args")
async def _args(w: World) -> Any:
    return await w.stub(Obj).call("args", 1, "a", None, None, EPOCH, b"\1", [1, {"b": 2}], {1}, 5)


@measured("rpc arg class instance")
async def _arg_instance(w: World) -> Any:
    return await w.stub(Obj).call("args", A())


@measured("rpc arg 33MB")
async def _arg_33mb(w: World) -> Any:
    return await w.stub(Obj).call("args", "x" * (33 * 1024 * 1024))


@measured("race get/put only (input gate)")
async def _race(w: World) -> Any:
    return await asyncio.gather(*(w.stub(Busy).call("incr") for _ in range(10)))


@measured("race with timer between (no gate)")
async def _race_with_wait(w: World) -> Any:
    return await asyncio.gather(*(w.stub(Busy).call("incr_after_wait") for _ in range(10)))


@measured("interleave")
async def _interleave(w: World) -> Any:
    stub = w.stub(Busy)
    await asyncio.gather(stub.call("slow", 30), stub.call("slow", 5))
    return await stub.call("quick")


@measured("blockConcurrencyWhile blocks")
async def _blocks(w: World) -> Any:
    stub = w.stub(Busy)
    return await asyncio.gather(stub.call("bcw", 30), stub.call("quick"))


async def _failed(awaitable: Awaitable[Any]) -> BaseException:
    try:
        await awaitable
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@measured("bcw throw resets")
async def _bcw_throw(w: World) -> Any:
    stub = w.stub(Busy)
    first = await stub.call("born_id")
    error = await _failed(stub.call("bcw_throw"))
    again = await _failed(stub.call("born_id"))
    fresh = await w.stub(Busy).call("born_id")
    told = [str(error), undefined(getattr(error, "remote", None))]
    return [told, f"stub broken: {again}", fresh != first]


@measured("abort")
async def _abort(w: World) -> Any:
    stub = w.stub(Busy)
    first = await stub.call("born_id")
    error = await _failed(stub.call("abort_me"))
    fresh = await w.stub(Busy).call("born_id")
    return [["Error", str(error), undefined(getattr(error, "remote", None))], fresh != first]


async def _alarm_state(w: World) -> Any:
    count, info, inside, later = await w.stub(Busy).call("alarm_state")
    kept = {"scheduledTime": info[0], "retryCount": info[1], "isRetry": info[2]}
    return [count, kept, inside, later]


@measured("alarm fires")
async def _alarm(w: World) -> Any:
    w.bind(Busy, w.clock)
    await w.stub(Busy).call("ring", 0, 50)
    await w.pass_time(0.4)
    return await _alarm_state(w)


@measured("alarm past fires now")
async def _past_alarm(w: World) -> Any:
    w.bind(Busy, w.clock)
    await w.stub(Busy).call("ring", 0, -1_000_000)
    await w.pass_time(0.3)
    return await _alarm_state(w)


@measured("alarm retry")
async def _alarm_retry(w: World) -> Any:
    w.bind(Busy, w.clock)
    await w.stub(Busy).call("ring", 1, 0)
    await w.pass_time(0.5)
    first = await _alarm_state(w)
    await w.pass_time(2.8)
    return [first, await _alarm_state(w)]
