"""Commits whose store is away, keys of runs that a crash completed, imports that are given up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from d1_schema.contract import D1Error
from durable.contract import AlarmInfo
from kv.checks import KVUnavailable
from tests.support.problems import assert_problem
from tests.support.profiles import ids, line, many, profile
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import until
from worker.profiles.import_room import ImportRoom
from worker.profiles.store.profiles import D1ProfileStore, KvProfileStore, Row

ID = "imp_20261121080000_stuck1"
KEY = {"Idempotency-Key": "stuck"}
_STORES = {KvProfileStore: KVUnavailable("PUT"), D1ProfileStore: D1Error("D1_ERROR: overloaded")}


@dataclass
class Outage:
    """A store that takes *batches* and then is away for as long as *is_away* says."""

    batches: int = 1
    is_away: bool = True
    refused: int = 0


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    """Both stores, away after the first batch."""
    state = Outage()
    for store, error in _STORES.items():
        monkeypatch.setattr(store, "put_many", _failing(store.put_many, state, error))
    return state


def _failing(whole, state: Outage, error: Exception):  # type: ignore[no-untyped-def]
    async def put_many(store, rows: Sequence[Row], import_id: str, now_ms: int) -> None:  # type: ignore[no-untyped-def]
        if state.is_away and state.batches <= 0:
            state.refused += 1
            raise error
        state.batches -= 1
        await whole(store, rows, import_id, now_ms)

    return put_many


async def _stuck(host: RunningHost, count: int = 350) -> None:
    """Leave a commit of *count* profiles with its first hundred stored."""
    answer = await host.send_profiles(many(count), f"?mode=atomic&id={ID}", headers=KEY)
    assert_problem(answer, 503, "storage_unavailable", members={"import_id"})
    assert answer.headers["Retry-After"]


async def _tries(host: RunningHost, outage: Outage, count: int) -> None:
    """Let time pass until the room has tried *count* times more."""
    for _ in range(count):
        before = outage.refused
        host.clock.forward(301)
        await host.opened.actors.tick()
        await until(lambda before=before: outage.refused > before)


async def test_a_commit_outlasts_any_outage(either: RunningHost, outage: Outage) -> None:
    """Far more tries than the runtime gives an alarm; the report says what it waits for."""
    await _stuck(either)
    await _tries(either, outage, 20)
    report = await either.report(ID)
    assert (report["state"], report["profiles_stored"]) == ("committing", 100)
    assert report["waits"]["tries"] >= 19
    assert report["waits"]["next_try_at"] > report["updated_at"]
    outage.is_away = False
    either.clock.forward(301)
    await either.opened.actors.tick()
    await _until_state(either, "done")
    assert (await either.report(ID))["profiles_stored"] == await either.total() == 350


async def test_what_a_commit_stored_is_not_stored_again(
    either: RunningHost, outage: Outage
) -> None:
    """It goes on where it stopped: what somebody changed meanwhile stays changed."""
    await _stuck(either)
    outage.batches = 1
    newer = await either.send_profiles(line(ids(1)[0], age=77))
    assert newer.status == 200
    outage.is_away = False
    either.clock.forward(301)
    await either.opened.actors.tick()
    await _until_state(either, "done")
    assert (await either.stored())[0] == profile(ids(1)[0], age=77)


async def test_a_key_whose_run_was_completed_later_replays(
    either: RunningHost, outage: Outage
) -> None:
    """The run ended without its request: the same again is answered from memory, stores nothing."""
    await _stuck(either)
    held = await either.send_profiles(many(350), "?mode=atomic", headers=KEY)
    assert_problem(held, 409, "idempotency_key_in_use")
    outage.is_away = False
    either.clock.forward(301)
    await either.opened.actors.tick()
    await _until_state(either, "done")
    await either.send_profiles(line(ids(1)[0], age=77))
    again = await either.send_profiles(many(350), "?mode=atomic", headers=KEY)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["profiles_stored"] == 350
    assert (await either.stored())[0] == profile(ids(1)[0], age=77)
    other = await either.send_profiles(many(349), "?mode=atomic", headers=KEY)
    assert_problem(other, 422, "idempotency_key_reused")


async def test_a_key_replays_though_its_box_was_away_at_the_end(
    either: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import is answered; who comes with its key finds the answer when the box is back."""
    from worker.idempotency import IdempotencyBox

    whole = IdempotencyBox.conclude

    async def away(*_: object) -> None:
        raise KVUnavailable("PUT")

    monkeypatch.setattr(IdempotencyBox, "conclude", away)
    first = await either.send_profiles(many(3), headers=KEY)
    assert first.status == 200
    monkeypatch.setattr(IdempotencyBox, "conclude", whole)
    await either.send_profiles(line(ids(1)[0], age=77))
    again = await either.send_profiles(many(3), headers=KEY)
    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
    assert (await either.stored())[0]["profile"]["identity"]["age"] == 77


@pytest.mark.parametrize("is_away", [True, False])
async def test_a_stuck_import_can_be_given_up(
    either: RunningHost, outage: Outage, is_away: bool
) -> None:
    """By who imported, also while the store is away: the rest never comes, the key is free."""
    await _stuck(either)
    stranger = either.bearer("profiles:import", subject="stranger")
    door = f"/api/profiles/import/abandon?id={ID}"
    assert_problem(await either.ask("POST", door, headers=stranger), 404, "not_found")
    outage.is_away = is_away
    answer = await either.ask("POST", door, headers=either.bearer("profiles:import"))
    report = answer.json()
    assert (report["state"], report["failure"]) == ("failed", "abandoned")
    assert report["profiles_stored"] == await either.total() == 100
    outage.is_away = False
    either.clock.forward(301)
    await either.opened.actors.tick()
    again = await either.send_profiles(many(350), "?mode=atomic", headers=KEY)
    assert (again.status, await either.total()) == (200, 350)
    assert "Idempotent-Replayed" not in again.headers
    same = await either.ask("POST", door, headers=either.bearer("profiles:import"))
    assert same.json() == report


async def test_an_upload_under_way_can_be_given_up(either: RunningHost) -> None:
    """Its request ends, its key is free, and the report counts what was stored."""
    go = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield many(1200)
        await go.wait()

    sending = asyncio.create_task(either.send_profiles(slowly(), f"?id={ID}", headers=KEY))
    asker = either.bearer("profiles:import")
    door = f"/api/profiles/import/report?id={ID}"

    async def has_begun() -> bool:
        answer = await either.get(door, headers=asker)
        return answer.status == 200 and answer.json()["profiles_stored"] >= 1000

    await until(has_begun)
    answer = await either.ask("POST", f"/api/profiles/import/abandon?id={ID}", headers=asker)
    assert (answer.json()["state"], answer.json()["failure"]) == ("failed", "abandoned")
    go.set()
    with contextlib.suppress(OSError):
        assert (await sending).status == 503
    assert answer.json()["profiles_stored"] == await either.total()
    again = await either.send_profiles(many(1300), headers=KEY)
    assert (again.status, await either.total()) == (200, 1300)


async def test_a_commit_that_an_earlier_version_gave_up_goes_on(
    tmp_path: Path, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rooms without an alarm are woken by whoever asks for the report or comes with the key."""
    gave_up = asyncio.Event()

    async def give_up(room: ImportRoom, info: AlarmInfo) -> None:
        await room.ctx.storage.delete_alarm()
        gave_up.set()

    async with running_host(tmp_path / "state") as host:
        with monkeypatch.context() as patched:
            patched.setattr(ImportRoom, "alarm", give_up)
            await _stuck(host)
            await until(gave_up.is_set)
        outage.is_away = False
        assert (await host.report(ID))["state"] == "committing"
        await _until_state(host, "done")
        assert await host.total() == 350


async def test_staged_rows_that_no_store_takes_do_not_wait_for_ever(
    host: RunningHost, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier version staged longer ids: all else is stored, and the key is free."""
    monkeypatch.setattr(
        KvProfileStore, "takes", lambda _store, profile_id: profile_id != "usr_000200"
    )
    await _stuck(host)
    outage.is_away = False
    host.clock.forward(301)
    await host.opened.actors.tick()
    await _until_state(host, "failed")
    report = await host.report(ID)
    assert (report["failure"], report["profiles_stored"]) == ("import_refused", 349)
    again = await host.send_profiles(many(100), headers=KEY)
    assert again.status == 200


async def _until_state(host: RunningHost, state: str) -> None:
    async def has_come() -> bool:
        return bool((await host.report(ID))["state"] == state)

    await until(has_come)
