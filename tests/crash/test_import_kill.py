"""kill -9 and a polite stop in the middle of an import: a real process, a real signal."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.child_host import ChildHost, child_host
from tests.support.profiles import ids, line, many
from tests.support.raw import RawConnection, connect, head
from tests.support.running_host import NDJSON
from tests.support.waiting import PATIENCE

ID = "imp_20261121080000_killed"
_KEY = {"Idempotency-Key": "try-until-done"}
_REPORT = f"/api/profiles/import/report?id={ID}"


async def upload(child: ChildHost, query: str, body: bytes, length: int) -> RawConnection:
    """Send *body* as the beginning of an import of *length* bytes."""
    connection = await connect(child.port)
    fields = {**NDJSON, **_KEY, **child.bearer("profiles:import"), "Content-Length": str(length)}
    await connection.send(head("POST", f"/api/profiles/import?id={ID}{query}", fields))
    await connection.send(body)
    return connection


async def report_when(child: ChildHost, ready: Any, seconds: float = PATIENCE) -> dict[str, Any]:
    """Ask for the report until *ready* says so."""
    async with asyncio.timeout(seconds):
        while True:
            answer = await child.get(_REPORT, "profiles:import")
            if answer.status == 200 and ready(answer.json()):
                found: dict[str, Any] = answer.json()
                return found
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("store", ["kv", "d1"])
@pytest.mark.parametrize("query", ["", "&mode=atomic"])
async def test_an_import_that_was_killed_is_interrupted_and_can_be_completed(
    tmp_path: Path, store: str, query: str
) -> None:
    """After the restart: a true report, whole profiles only, and the same key finishes the job."""
    body = many(3000)
    async with child_host(tmp_path / "state", PROFILE_STORE=store) as child:
        connection = await upload(child, query, body[:-10], len(body))
        await report_when(child, lambda report: report["lines_total"] >= 2500)
        assert await child.stop(signal.SIGKILL) == -signal.SIGKILL
        await connection.cut()
        await child.start()
        report = await report_when(child, lambda report: True)
        total = await child.total()
        assert report["state"] == "interrupted"
        if query:
            assert report["profiles_stored"] == total == 0
        else:
            # To the profile: also of the batch that was in flight.
            assert report["profiles_stored"] == total
            assert 1000 <= total < 3000
        assert 2500 <= report["lines_total"] == report["lines_valid"] <= 3000
        stored = await child.get("/api/profiles/export", "profiles:export", "profiles:read")
        assert [one["profile_id"] for one in stored.lines()] == ids(total)
        again = await child.post("/api/profiles/import" + query.replace("&", "?"), body, **_KEY)
        assert (again.status, again.json()["profiles_stored"]) == (200, 3000)
        assert await child.total() == 3000
        replay = await child.post("/api/profiles/import" + query.replace("&", "?"), body, **_KEY)
        assert replay.headers["Idempotent-Replayed"] == "true"
        assert (await child.get(_REPORT, "profiles:import")).json()["state"] == "interrupted"


@pytest.mark.parametrize("store", ["kv", "d1"])
async def test_an_atomic_import_killed_while_it_commits_is_whole_in_the_end(
    tmp_path: Path, store: str
) -> None:
    """All or nothing: a commit that had begun is carried to its end by the next start."""
    count = 12_000
    body = many(count)
    async with child_host(tmp_path / "state", PROFILE_STORE=store) as child:
        sending = asyncio.create_task(
            child.post(f"/api/profiles/import?id={ID}&mode=atomic", body, **_KEY)
        )
        await report_when(child, lambda report: report["state"] != "running")
        await child.stop(signal.SIGKILL)
        await asyncio.gather(sending, return_exceptions=True)
        await child.start()
        report = await report_when(
            child, lambda report: report["state"] not in ("running", "committing")
        )
        assert report["state"] == "done"
        assert report["profiles_stored"] == await child.total() == count
        newer = await child.post("/api/profiles/import", line(ids(1)[0], age=77))
        assert newer.status == 200
        again = await child.post("/api/profiles/import?mode=atomic", body, **_KEY)
        assert (again.status, again.headers["Idempotent-Replayed"]) == (200, "true")
        item = await child.get(f"/api/profiles/item?id={ids(1)[0]}")
        assert item.json()["profile"]["identity"]["age"] == 77
        assert await child.total() == count


async def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    """A 200 is a promise: profiles, report and idempotent answer survive kill -9."""
    async with child_host(tmp_path / "state") as child:
        first = await child.post(f"/api/profiles/import?id={ID}", many(500), **_KEY)
        await child.stop(signal.SIGKILL)
        await child.start()
        assert await child.total() == 500
        assert (await child.get(_REPORT, "profiles:import")).json()["state"] == "done"
        again = await child.post("/api/profiles/import", many(500), **_KEY)
        assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")


async def test_a_polite_stop_lets_a_request_in_flight_finish(tmp_path: Path) -> None:
    """SIGTERM during an upload: the import ends 200, new connections are refused, exit code 0."""
    body = many(2000)
    async with child_host(tmp_path / "state") as child:
        connection = await upload(child, "", body[:-100], len(body))
        await report_when(child, lambda report: report["lines_total"] >= 1500)
        stopping = asyncio.create_task(child.stop(signal.SIGTERM))
        await asyncio.sleep(0.3)
        with pytest.raises(OSError):
            await connect(child.port)
        await connection.send(body[-100:])
        answer = await connection.answer()
        await connection.cut()
        assert answer.status == 200, answer.body
        assert answer.json()["profiles_stored"] == 2000
        assert await stopping == 0
        await child.start()
        assert await child.total() == 2000
        logged = [json.loads(one) for one in child.log_file.read_bytes().splitlines()]
        assert "POST" in [event.get("method") for event in logged]
        assert {"ts", "level", "event", "app", "env", "platform"} <= set(logged[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_host_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0 without the grace of requests in flight, and nothing like a trace is said."""
    async with child_host(tmp_path / "state") as child:
        await child.post("/api/profiles/import", line())
        async with asyncio.timeout(9):  # the grace is ten seconds
            assert await child.stop(number) == 0
        said = child.said_file.read_text()
        assert "Traceback" not in said
        assert not (tmp_path / "state" / "host.json").exists()
