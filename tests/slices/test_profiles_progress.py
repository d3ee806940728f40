"""Reports and live progress of an import: while it runs, after it, and when it broke off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from tests.support.problems import assert_problem
from tests.support.profiles import line, many, ndjson
from tests.support.running_host import RunningHost, messages
from tests.support.waiting import until

ID = "imp_20261121080000_watched"
_SHOWN = {"event", "import_id", "state", "bytes_read", "profiles_stored"} | {
    f"lines_{kind}" for kind in ("total", "valid", "invalid")
}


@contextlib.asynccontextmanager
async def half_way(host: RunningHost, query: str = "") -> AsyncIterator[Any]:
    """Hold an import of 1200 + 5 good lines and a bad one after the first 1200."""
    go = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield many(1200)
        await go.wait()
        yield b"bad\n" + ndjson([line(f"usr_late{number:02d}") for number in range(5)])

    sending = asyncio.create_task(host.send_profiles(slowly(), f"?id={ID}{query}"))
    headers = host.bearer("profiles:import")
    door = f"/api/profiles/import/report?id={ID}"

    async def is_half_way() -> bool:
        answer = await host.get(door, headers=headers)
        return answer.status == 200 and answer.json()["lines_total"] == 1200

    await until(is_half_way)

    async def finish() -> Any:
        go.set()
        return await sending

    yield finish
    await finish()


async def test_a_report_can_be_read_while_the_import_runs(either: RunningHost) -> None:
    """State running and the counts so far; afterwards state done, status and the errors."""
    async with half_way(either) as finish:
        report = await either.report(ID)
        assert report["state"] == "running"
        assert report["lines_total"] == report["lines_valid"] == 1200
        assert report["profiles_stored"] <= await either.total() <= 1200
        assert report["bytes_read"] == len(many(1200))
        assert (await finish()).status == 207
    report = await either.report(ID)
    assert (report["state"], report["status"], report["mode"]) == ("done", 207, "partial")
    assert (report["lines_total"], report["lines_invalid"]) == (1206, 1)
    assert report["profiles_stored"] == await either.total() == 1205
    assert report["started_at"] <= report["updated_at"]
    [error] = report["errors"]
    assert (error["line_no"], error["error_code"]) == (1201, "json_parse_error")
    old_name = await either.get(
        f"/api/profiles/get-report?id={ID}", headers=either.bearer("profiles:import")
    )
    assert old_name.json() == report


async def test_an_atomic_import_shows_nothing_before_its_end(either: RunningHost) -> None:
    """While it runs nothing is stored; one bad line at the end refuses it all."""
    async with half_way(either, "&mode=atomic") as finish:
        assert await either.total() == 0
        assert (await either.report(ID))["profiles_stored"] == 0
        assert (await finish()).status == 422
    report = await either.report(ID)
    assert (report["state"], report["status"], report["profiles_stored"]) == ("refused", 422, 0)
    assert await either.total() == 0


@pytest.mark.parametrize("wrong", ["", "x", "imp_20261121080000_", "../../etc"])
async def test_a_report_that_cannot_be_is_a_bad_request(host: RunningHost, wrong: str) -> None:
    """And one that is not there is not found."""
    asker = host.bearer("profiles:import")
    door = "/api/profiles/import/report"
    answer = await host.get(door, params={"id": wrong}, headers=asker)
    assert_problem(answer, 400, "bad_request")
    answer = await host.get(f"{door}?id={ID}", headers=asker)
    assert_problem(answer, 404, "not_found")


async def test_progress_is_told_from_before_the_import_to_its_end(either: RunningHost) -> None:
    """Opened before: waiting, then progress that never goes back, then the report and a close."""
    async with either.watch(ID) as socket:
        assert await socket.receive_json() == {"event": "waiting", "import_id": ID}
        async with half_way(either) as finish:
            await finish()
        told = await messages(socket)
        assert socket.close_code == 1000
    assert all(set(one) - {"status"} == _SHOWN for one in told)
    assert [one["event"] for one in told[:-1]] == ["progress"] * (len(told) - 1)
    totals = [one["lines_total"] for one in told]
    assert totals == sorted(totals)
    report = await either.report(ID)
    shown = {name: report[name] for name in _SHOWN - {"event"}}
    assert told[-1] == {"event": "report", "status": 207, **shown}
    assert (shown["state"], shown["profiles_stored"]) == ("done", 1205)


async def test_progress_can_be_joined_in_the_middle_and_by_many(either: RunningHost) -> None:
    """Opened during: the state so far at once; each watcher gets the end; one may leave early."""
    async with half_way(either) as finish:
        async with either.watch(ID) as leaving:
            first = await leaving.receive_json()
            assert (first["event"], first["lines_total"]) == ("progress", 1200)
        async with either.watch(ID) as one, either.watch(ID) as two:
            await one.send_str("listeners may talk; nobody minds")
            await one.send_bytes(b"\0")
            await finish()
            for socket in (one, two):
                told = await messages(socket)
                assert (told[-1]["event"], told[-1]["state"]) == ("report", "done")


async def test_progress_of_a_finished_import_is_its_report(either: RunningHost) -> None:
    """Opened after: the report and a close, at once."""
    await either.send_profiles(line(), f"?id={ID}")
    async with either.watch(ID) as socket:
        [told] = await messages(socket)
    assert (told["event"], told["state"], told["status"]) == ("report", "done", 200)
    assert socket.close_code == 1000


async def test_progress_needs_an_upgrade(host: RunningHost) -> None:
    """A plain GET is told 426."""
    door = f"/api/profiles/import/progress?id={ID}"
    answer = await host.get(door, headers=host.bearer("profiles:import"))
    assert_problem(answer, 426, "upgrade_required")
    bad_id = await host.get(
        "/api/profiles/import/progress?id=x", headers=host.bearer("profiles:import")
    )
    assert_problem(bad_id, 400, "bad_request")


async def test_progress_needs_a_token_that_may(host: RunningHost) -> None:
    """None or a wrong one: 401; without the scope: 403. In the header or in the query."""
    door = f"{host.url}/api/profiles/import/progress?id={ID}"
    cases = [
        ("", 401),
        ("&token=", 401),
        ("&token=wrong", 401),
        (f"&token={host.token('profiles:read')}", 403),
    ]
    async with ClientSession() as session:
        for query, status in cases:
            with pytest.raises(WSServerHandshakeError) as refusal:
                await session.ws_connect(door + query)
            assert refusal.value.status == status
        async with session.ws_connect(door, headers=host.bearer("profiles:import")) as socket:
            assert (await socket.receive_json())["event"] == "waiting"


async def test_a_query_token_opens_no_other_door(host: RunningHost) -> None:
    """?token= counts on WebSocket doors only."""
    token = host.token("profiles:import", "profiles:export")
    for door in (f"import/report?id={ID}&", "export?"):
        answer = await host.get(f"/api/profiles/{door}token={token}")
        assert_problem(answer, 401, "unauthorized")
