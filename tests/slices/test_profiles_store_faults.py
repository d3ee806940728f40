"""Imports whose stores fail: what was promised is kept, and the answer tells the truth."""

from collections.abc import Sequence
from typing import Any

import pytest

from kv.contract import KVError, KVNamespace
from tests.support.problems import assert_problem
from tests.support.profiles import many
from tests.support.running_host import RunningHost
from tests.support.waiting import until
from worker.profiles.store.profiles import KvProfileStore, Row

IMPORT_ID = "imp_20260101000000_faults"


async def test_a_commit_that_fails_halfway_is_carried_to_its_end(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An atomic import answers 503 when storing breaks off, and all its lines are stored after."""
    whole = KvProfileStore.put_many
    calls = 0

    async def fails_once(
        store: KvProfileStore, rows: Sequence[Row], import_id: str, now_ms: int
    ) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KVError("PUT", 503, "gone for a moment")
        await whole(store, rows, import_id, now_ms)

    monkeypatch.setattr(KvProfileStore, "put_many", fails_once)
    body = many(350)
    answer = await host.send_profiles(
        body, f"?mode=atomic&id={IMPORT_ID}", headers={"Idempotency-Key": "k"}
    )

    problem = assert_problem(answer, 503, "storage_unavailable", members={"import_id"})
    assert problem["import_id"] == IMPORT_ID
    report = await _report_in(host, "done")
    assert report["profiles_stored"] == await host.total() == 350

    again = await host.send_profiles(body, "?mode=atomic", headers={"Idempotency-Key": "k"})
    assert again.status == 200


async def test_a_report_that_kv_refuses_is_still_there_and_written_later(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import answers as ever; the room keeps the report and brings it to KV by its alarm."""
    real = host.env.import_report_kv.put

    async def refuse(*_args: Any, **_options: Any) -> None:
        raise KVError("PUT", 503, "gone for a moment")

    monkeypatch.setattr(host.env.import_report_kv, "put", refuse)
    monkeypatch.setattr("worker.profiles.import_room._WATCH_MS", 300)
    answer = await host.send_profiles(many(3), f"?id={IMPORT_ID}")
    assert answer.status == 200
    assert (await host.report(IMPORT_ID))["state"] == "done"
    assert await _kept(host.env.import_report_kv) is None

    monkeypatch.setattr(host.env.import_report_kv, "put", real)

    async def is_written() -> bool:
        return await _kept(host.env.import_report_kv) is not None

    await until(is_written)
    assert (await _kept(host.env.import_report_kv))["state"] == "done"
    assert (await host.report(IMPORT_ID))["state"] == "done"


async def _kept(kv: KVNamespace) -> Any:
    return await kv.get(f"report:{IMPORT_ID}", "json")


async def _report_in(host: RunningHost, state: str) -> dict[str, Any]:
    async def has_come_to_it() -> bool:
        return bool((await host.report(IMPORT_ID))["state"] == state)

    await until(has_come_to_it)
    return await host.report(IMPORT_ID)
