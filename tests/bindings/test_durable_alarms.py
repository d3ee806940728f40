"""Alarms: once, again after failures, after a restart, and never late (facts D5, H5)."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from durable.contract import DurableObject
from durable.timing import Timing
from tests.bindings.durable_world import START, Clock, World, made_world
from tests.support.waiting import until

world = made_world


class Bell(DurableObject):
    """Keeps what its alarm was told; fails as often as it is told to."""

    async def set(self, when: Any, failures: int = 0, rearm_ms: int = 0) -> None:
        await self.ctx.storage.put({"failures": failures, "rearm": rearm_ms})
        await self.ctx.storage.set_alarm(when)

    async def when(self) -> int | None:
        return await self.ctx.storage.get_alarm()

    async def cancel(self) -> None:
        await self.ctx.storage.delete_alarm()

    async def rung(self) -> list[Any]:
        return list((await self.ctx.storage.list(prefix="rung")).values())

    async def set_then_fail(self, when: Any) -> None:
        async def body(txn: Any) -> None:
            await txn.set_alarm(when)
            raise LookupError("no")

        await self.ctx.storage.transaction(body)

    async def set_in_rolled_back_event(self, when: Any) -> None:
        await self.ctx.storage.set_alarm(when)
        self.ctx.abort("enough")

    async def alarm(self, info: Any) -> None:
        s = self.ctx.storage
        past = await self.rung()
        told = [info.scheduled_time_ms, info.retry_count, info.is_retry, await s.get_alarm()]
        await s.put(f"rung{len(past):02}", told)
        if await s.get("abort"):
            await s.delete("abort")
            await s.sync()
            self.ctx.abort("in the middle")
        if await s.get("rearm"):
            await s.set_alarm(info.scheduled_time_ms + await s.get("rearm"))
            await s.delete("rearm")
        if await s.get("hang"):
            await asyncio.Event().wait()
        if len(past) < await s.get("failures"):
            raise RuntimeError("not yet")

    async def arm(self, key: str) -> None:
        await self.ctx.storage.put(key, True)


async def test_an_alarm_rings_once_at_its_time(world: World) -> None:
    """Not before, exactly once, told its time; getAlarm is None inside and after."""
    stub, due = world.stub(Bell), world.clock.ms + 60_000
    await stub.call("set", due)

    await world.pass_time(59.9)
    assert await stub.call("rung") == []
    assert await stub.call("when") == due
    await world.pass_time(0.1)
    await world.pass_time(100)

    assert await stub.call("rung") == [[due, 0, False, None]]
    assert await stub.call("when") is None


async def test_the_last_set_alarm_counts_and_it_can_be_taken_back(world: World) -> None:
    """A new time replaces the old one, later or sooner; a deleted alarm does not ring."""
    stub = world.stub(Bell)
    for seconds in (10, 100, 50):
        await stub.call("set", world.clock.ms + seconds * 1000)

    await world.pass_time(49)
    assert await stub.call("rung") == []
    await world.pass_time(1)
    assert len(await stub.call("rung")) == 1
    await stub.call("set", world.clock.ms + 1000)
    await stub.call("cancel")
    await world.pass_time(1000)
    assert len(await stub.call("rung")) == 1


@pytest.mark.parametrize("when", [0, -1, 0.0, "soon", None, True, float("nan")])
async def test_a_time_that_is_none_is_refused(world: World, when: Any) -> None:
    """Zero, the negative and what is no time are a TypeError."""
    with pytest.raises(TypeError):
        await world.stub(Bell).call("set", when)


async def test_a_datetime_is_a_time_and_naive_means_utc(world: World) -> None:
    """Both kinds of datetime give the same milliseconds."""
    stub = world.stub(Bell)
    expected = int(START * 1000) + 500
    aware = datetime.fromtimestamp(START + 0.5, UTC)
    for when in (aware, aware.replace(tzinfo=None)):
        await stub.call("set", when)
        assert await stub.call("when") == expected


async def test_failures_are_retried_six_times_with_growing_waits(world: World) -> None:
    """Waits of 2, 4, … 64 s plus up to a quarter; getAlarm keeps the time; no eighth call."""
    stub, due = world.stub(Bell), world.clock.ms + 1000
    await stub.call("set", due, 99)
    await world.pass_time(1)

    for retry in range(6):
        assert await stub.call("when") == due
        wait = 2 * 2**retry
        await world.pass_time(wait - 0.001)
        assert len(await stub.call("rung")) == retry + 1
        await world.pass_time(wait / 4 + 0.002)
        assert len(await stub.call("rung")) == retry + 2

    await world.pass_time(10_000)
    told = await stub.call("rung")
    assert [t[:3] for t in told] == [[due, n, n > 0] for n in range(7)]
    assert await stub.call("when") is None
    assert ("alarm dropped" in [event for event, _ in world.logged]) is True


async def test_a_success_ends_the_retries(world: World) -> None:
    """After two failures and a success nothing rings any more."""
    stub = world.stub(Bell)
    await stub.call("set", world.clock.ms, 2)
    for _ in range(20):
        await world.pass_time(10)

    assert [t[1] for t in await stub.call("rung")] == [0, 1, 2]


@pytest.mark.parametrize("failures", [0, 1])
async def test_a_time_set_inside_the_handler_stands(world: World, failures: int) -> None:
    """The new alarm survives the handler's success and its failure, and starts at retry 0."""
    stub, due = world.stub(Bell), world.clock.ms + 1000
    await stub.call("set", due, failures, 60_000)
    await world.pass_time(1)
    assert await stub.call("when") == due + 60_000

    await world.pass_time(60)

    assert [t[:2] for t in await stub.call("rung")] == [[due, 0], [due + 60_000, 0]]


async def test_an_overdue_alarm_rings_after_a_restart(world: World) -> None:
    """The object is in nobody's memory; starting the runtime is enough."""
    due = world.clock.ms + 1000
    await world.stub(Bell).call("set", due)
    await world.actors.close()
    world.clock.advance(3600)

    await world.open()
    await world.settle()

    assert await world.stub(Bell).call("rung") == [[due, 0, False, None]]


async def test_retries_go_on_after_a_restart(world: World) -> None:
    """The count of failed calls is in the object's file."""
    await world.stub(Bell).call("set", world.clock.ms, 3)
    for _ in range(8):
        await world.pass_time(10)
        await world.restart()
        await world.settle()

    assert [t[1] for t in await world.stub(Bell).call("rung")] == [0, 1, 2, 3]


async def test_an_alarm_rings_for_an_object_that_sleeps(world: World) -> None:
    """Eviction does not touch the alarm, and the name is known to the handler's instance."""
    stub = world.stub(Bell, "sleeper")
    await stub.call("set", world.clock.ms + 3_600_000)
    await world.hibernate()
    assert world.actors.live("Bell") == []

    await world.pass_time(3600)

    assert [o.id.name for o in world.actors.live("Bell")] == ["sleeper"]
    assert len(await stub.call("rung")) == 1


@pytest.mark.parametrize("method", ["set_then_fail", "set_in_rolled_back_event"])
async def test_an_alarm_that_was_rolled_back_does_not_ring(world: World, method: str) -> None:
    """The alarm belongs to the transaction that set it."""
    with pytest.raises(Exception, match=r"no|enough"):
        await world.stub(Bell).call(method, world.clock.ms + 1000)

    await world.pass_time(5000)

    assert await world.stub(Bell).call("rung") == []


async def test_a_reset_in_the_middle_does_not_use_up_a_retry(world: World) -> None:
    """The alarm rings again after a pause, still as the first call."""
    stub = world.stub(Bell)
    await stub.call("arm", "abort")
    await stub.call("set", world.clock.ms)
    await world.pass_time(0.1)
    await world.pass_time(1)
    assert len(await world.stub(Bell).call("rung")) == 1
    await world.pass_time(2)

    assert [t[1] for t in await world.stub(Bell).call("rung")] == [0, 0]


async def test_a_handler_that_hangs_counts_as_failed(world: World) -> None:
    """After the time limit the handler is cut and the alarm waits for its retry."""
    world.timing = Timing(alarm_seconds=0.25)
    await world.restart()
    stub = world.stub(Bell)
    await stub.call("arm", "hang")
    due = world.clock.ms
    await stub.call("set", due)
    await world.actors.tick()

    async def is_set_again() -> bool:
        return bool(await stub.call("when") == due)

    await until(is_set_again)
    assert len(await stub.call("rung")) == 1


async def test_a_failed_commit_leaves_the_alarm_as_it_was(world: World) -> None:
    """The old time still rings when the write of a new one failed, sooner or later."""
    stub, old = world.stub(Bell), world.clock.ms + 60_000
    await stub.call("set", old)
    for other in (old - 30_000, old + 30_000):
        world.failing_commits = 1
        with pytest.raises(Exception, match="disk full"):
            await world.stub(Bell).call("set", other)

    await world.pass_time(30)
    assert await world.stub(Bell).call("rung") == []
    assert await world.stub(Bell).call("when") == old
    await world.pass_time(30)
    assert len(await world.stub(Bell).call("rung")) == 1


async def test_an_index_entry_that_is_too_early_is_corrected(world: World) -> None:
    """A kill between index and object leaves such an entry; it must not ring."""
    stub, due = world.stub(Bell), world.clock.ms + 60_000
    await stub.call("set", due)
    world.actors.alarms.before_commit("Bell", stub.id.hex, world.clock.ms + 1)
    nobody = world.spaces["Bell"].id_from_name("nobody").hex
    world.actors.alarms.before_commit("Bell", nobody, world.clock.ms + 1)

    await world.pass_time(1)

    assert await stub.call("rung") == []
    assert world.actors.alarms.due("Bell", stub.id.hex) == due
    assert world.actors.alarms.due("Bell", nobody) is None


@pytest.mark.parametrize("seconds", [10, 200])
async def test_a_kill_between_object_and_index_loses_no_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Whatever is entered after a commit may be missing: the alarm rings at its time."""
    stub, begin = world.stub(Bell), world.clock.ms
    await stub.call("set", begin + 100_000)
    with monkeypatch.context() as killed:
        killed.setattr("durable.alarm_index.AlarmIndex.after_commit", lambda *_: None)
        await stub.call("set", begin + seconds * 1000)
    await world.restart()

    await world.pass_time(seconds - 1)
    assert await world.stub(Bell).call("rung") == []
    await world.pass_time(1)

    told = await world.stub(Bell).call("rung")
    assert [t[0] for t in told] == [begin + seconds * 1000]
    assert await world.stub(Bell).call("when") is None


async def test_a_commit_that_sqlite_refuses_does_not_delay_the_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index may already know the new time; the old, sooner one still rings."""
    stub, old = world.stub(Bell), world.clock.ms + 10_000
    await stub.call("set", old)

    def refuse(_writes: Any) -> None:
        raise OSError("no commit")

    with monkeypatch.context() as broken:
        broken.setattr("durable.writes.Writes.commit", refuse)
        with pytest.raises(Exception, match="no commit"):
            await stub.call("set", old + 90_000)

    await world.pass_time(10)

    assert [t[0] for t in await world.stub(Bell).call("rung")] == [old]


async def test_the_past_means_now_and_the_index_follows(world: World) -> None:
    """A time in the past becomes the present; the index has what the object has."""
    stub = world.stub(Bell)
    world.actors.alarm_clock.stop()
    await stub.call("set", 1)
    assert await stub.call("when") == world.clock.ms
    for when in (world.clock.ms + 5000, world.clock.ms + 9000, world.clock.ms + 7000):
        await stub.call("set", when)
        assert world.actors.alarms.due("Bell", stub.id.hex) == when
    await stub.call("cancel")
    assert world.actors.alarms.due("Bell", stub.id.hex) is None


async def test_alarms_of_a_class_that_is_not_bound_wait(world: World) -> None:
    """They neither ring nor disappear, and do not hold up the others."""
    for n in range(80):
        await world.stub(Bell, f"b{n}").call("set", world.clock.ms + n)
    await world.actors.close()
    bell = world.bound.pop("Bell")

    class Other(Bell):
        pass

    world.bound["Other"] = (Other, None)
    await world.open()
    await world.stub(Other).call("set", world.clock.ms + 500)
    await world.pass_time(1)
    assert len(await world.stub(Other).call("rung")) == 1
    world.bound["Bell"] = bell
    await world.restart()
    await world.settle()

    for n in range(80):
        assert len(await world.stub(Bell, f"b{n}").call("rung")) == 1


async def test_the_timer_rings_without_a_tick(world: World) -> None:
    """With a clock that moves by itself the alarm needs nobody to look."""
    loop = asyncio.get_running_loop()
    begin = loop.time()

    class Moving(Clock):
        def __call__(self) -> float:
            return START + loop.time() - begin

    await world.actors.close()
    world.clock = Moving()
    await world.open()
    stub = world.stub(Bell)
    await stub.call("set", int(world.clock() * 1000) + 30)

    async def has_rung() -> bool:
        return len(await stub.call("rung")) == 1

    await until(has_rung)


async def test_the_handler_is_missing(world: World) -> None:
    """An alarm of a class without a handler is dropped and reported."""

    class Deaf(DurableObject):
        async def set(self, when: int) -> None:
            await self.ctx.storage.set_alarm(when)

        async def when(self) -> int | None:
            return await self.ctx.storage.get_alarm()

    await world.stub(Deaf).call("set", world.clock.ms)
    await world.pass_time(1)

    assert await world.stub(Deaf).call("when") is None
    assert "alarm failed" in [event for event, _ in world.logged]
