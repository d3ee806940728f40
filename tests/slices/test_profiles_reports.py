"""Whose reports and progress are, and what reports name: repeated ids."""

import pytest
from aiohttp import WSServerHandshakeError

from tests.support.problems import assert_problem
from tests.support.profiles import line, many, ndjson
from tests.support.running_host import RunningHost, messages

ID = "imp_20261121080000_mine01"
DOOR = f"/api/profiles/import/report?id={ID}"


async def test_a_report_is_for_who_imported_and_for_auditors(either: RunningHost) -> None:
    """Others who import do not find it, by either name; an auditor needs no other scope."""
    await either.send_profiles(many(3), f"?id={ID}", subject="ann")
    for door in (DOOR, DOOR.replace("import/report", "get-report")):
        ann = await either.get(door, headers=either.bearer("profiles:import", subject="ann"))
        bob = await either.get(door, headers=either.bearer("profiles:import", subject="bob"))
        eve = await either.get(door, headers=either.bearer("profiles:audit", subject="eve"))
        assert (ann.status, eve.status) == (200, 200)
        assert ann.json() == eve.json()
        assert_problem(bob, 404, "not_found")


async def test_progress_is_for_who_imported_and_for_auditors(either: RunningHost) -> None:
    """Before, during and after: who waits under another's id hears nothing of the import."""
    async with either.watch(ID, "bob") as bob, either.watch(ID, "ann") as ann:
        assert (await bob.receive_json())["event"] == "waiting"
        assert (await ann.receive_json())["event"] == "waiting"
        await either.send_profiles(many(3), f"?id={ID}", subject="ann")
        assert (await messages(ann))[-1]["event"] == "report"
        assert await messages(bob) == []
    with pytest.raises(WSServerHandshakeError) as refused:
        await either.watch(ID, "bob")
    assert refused.value.status == 404
    async with either.watch(ID, "ann") as late:
        assert [one["event"] for one in await messages(late)] == ["report"]


async def test_an_id_that_another_used_stays_taken(either: RunningHost) -> None:
    """Also when the room has emptied itself: nobody's report is overwritten."""
    await either.send_profiles(many(3), f"?id={ID}", subject="ann")
    for subject in ("ann", "bob"):
        again = await either.send_profiles(many(9), f"?id={ID}", subject=subject)
        assert_problem(again, 409, "import_id_taken")
    assert (await either.report(ID, "ann"))["profiles_stored"] == 3


@pytest.mark.parametrize("query", ["", "&mode=atomic"])
async def test_repeated_ids_are_listed(either: RunningHost, query: str) -> None:
    """Within a batch and far apart: each line that a later one replaced, with that line."""
    between = [line(f"usr_{number:06d}") for number in range(1200)]
    body = ndjson([line(age=20), line(age=21), *between, line(age=22), line("usr_000003", age=50)])
    answer = await either.send_profiles(body, f"?id={ID}{query}")
    assert answer.status == 200
    report = await either.report(ID)
    assert report["duplicates"] == [
        {"line_no": 1, "replaced_by": 2},
        {"line_no": 2, "replaced_by": 1203},
        {"line_no": 6, "replaced_by": 1204},
    ]
    assert report["duplicates_total"] == 3


async def test_more_repetitions_than_a_report_names_are_counted(host: RunningHost) -> None:
    """2,000 are named, all are counted."""
    await host.send_profiles(ndjson([line()] * 2500), f"?id={ID}")
    report = await host.report(ID)
    assert (len(report["duplicates"]), report["duplicates_total"]) == (2000, 2499)
