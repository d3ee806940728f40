"""What finished imports leave on the disk: their reports and answers, and no file of their own."""

import gc
from pathlib import Path

from tests.support.profiles import line
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import until
from worker.profiles.import_room import ImportRoom

_SLEEP = 11  # an object that nobody asks for so many seconds is put away


async def _asleep(host: RunningHost) -> None:
    host.clock.forward(_SLEEP)
    await host.opened.actors.tick()


async def test_small_imports_leave_no_object_behind(tmp_path: Path) -> None:
    """A hundred imports of one line, with keys and in both modes: no room has a file."""
    async with running_host(tmp_path / "state") as host:
        made = []
        for number in range(100):
            query = "?mode=atomic" if number % 2 else ""
            key = {"Idempotency-Key": f"key-{number}"}
            answer = await host.send_profiles(line(f"usr_{number:06d}"), query, headers=key)
            made.append(answer.json()["import_id"])
        await _asleep(host)
        actors = host.opened.actors
        assert actors.live("ImportRoom") == []
        assert actors.stored("ImportRoom") == []
        assert len(actors.stored("IdempotencyBox")) == 1
        assert (await host.report(made[0]))["state"] == "done"
        again = await host.send_profiles(line("usr_000000"), headers={"Idempotency-Key": "key-0"})
        assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_large_report_keeps_its_room_for_an_hour(tmp_path: Path) -> None:
    """What the box does not hold stays where it was made, and goes then."""
    async with running_host(tmp_path / "state") as host:
        answer = await host.send_profiles(b"x\n" * 1000 + line())
        await _asleep(host)
        assert len(host.opened.actors.stored("ImportRoom")) == 1
        host.clock.forward(3_700)

        async def is_gone() -> bool:
            await _asleep(host)
            return host.opened.actors.stored("ImportRoom") == []

        await until(is_gone)
        assert (await host.report(answer.json()["import_id"]))["lines_invalid"] == 1000


async def test_a_finished_import_leaves_nothing_to_the_collector(tmp_path: Path) -> None:
    """What a room held is free when it is put away: nothing of it points in a circle."""
    async with running_host(tmp_path / "state") as host:
        await host.send_profiles(line())
        await _asleep(host)
        gc.collect()
        gc.disable()
        try:
            for number in range(20):
                await host.send_profiles(line(f"usr_{number:06d}"))
            await _asleep(host)
            await host.opened.actors.tick()
            rooms = [one for one in gc.get_objects() if isinstance(one, ImportRoom)]
        finally:
            gc.enable()
    assert rooms == []
