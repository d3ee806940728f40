"""Stores that fail at each step of an upload, a read, a delete; what crashes leave; erasure."""

import asyncio
from collections.abc import Callable

import pytest

from d1_schema.contract import D1Error
from tests.support.backups import (
    FailingBucket,
    FailingDatabase,
    Keeper,
    blob,
    make_keeper,
    sweep_later,
)
from tests.support.held import held
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost
from worker.app import Worker
from worker.env import Env
from worker.registry import DATA_HOLDERS

STEPS: dict[str, Callable[[str], bool]] = {
    "reserve": lambda sql: sql.startswith("INSERT INTO backups"),
    "commit": lambda sql: "version = version + 1, object_key = pending_key" in sql,
    "release": lambda sql: sql.startswith("UPDATE backups SET pending_key = NULL"),
    "look": lambda sql: sql.startswith("SELECT * FROM backups"),
    "delete": lambda sql: "object_key = NULL" in sql,
}


@pytest.fixture
async def ada(host: RunningHost) -> Keeper:
    """Somebody with version 1."""
    keeper = await make_keeper(host.env, host)
    assert (await keeper.store(blob(1))).status == 201
    return keeper


@pytest.fixture
def env(host: RunningHost) -> Env:
    """The bag of the host, whose stores a test may replace."""
    return host.env


@pytest.mark.parametrize("after", [False, True])
async def test_a_bucket_that_fails_to_store_leaves_the_old(
    ada: Keeper, env: Env, after: bool
) -> None:
    """503 with Retry-After, also when only R2's answer was lost; the next upload goes ahead."""
    bucket = env.blobs
    env.blobs = FailingBucket(bucket, "put", after=after)  # type: ignore[assignment]
    answer = await ada.store(blob(2), 1)
    assert_problem(answer, 503, "storage_unavailable")
    assert answer.headers["Retry-After"] == "2"
    assert (await ada.fetch()).body == blob(1)
    env.blobs = bucket
    assert (await ada.store(blob(2), 1)).status == 200
    assert len(await ada.keys()) == 1


async def test_a_bucket_that_fails_to_delete_does_not_stop_an_upload(ada: Keeper, env: Env) -> None:
    """The old blob stays as an orphan, and the sweep removes it."""
    bucket = env.blobs
    env.blobs = FailingBucket(bucket, "delete")  # type: ignore[assignment]
    assert (await ada.store(blob(2), 1)).status == 200
    assert len(await ada.keys()) == 2
    env.blobs = bucket
    await sweep_later(env)
    assert len(await ada.keys()) == 1
    assert (await ada.fetch()).body == blob(2)


async def test_a_bucket_that_is_away_is_503_for_readers(ada: Keeper, env: Env) -> None:
    """GET and HEAD say so, never 404: nobody must believe that there is no backup."""
    name = await ada.attach(b"avatar")
    env.blobs = FailingBucket(env.blobs, "get,head")  # type: ignore[assignment]
    for path in ("/v1/backup", f"/v1/attachments/{name}"):
        assert_problem(await ada.ask("GET", path), 503, "storage_unavailable")
        assert (await ada.ask("HEAD", path)).status == 503


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["reserve", "commit", "look", "delete"])
async def test_a_database_that_fails_at_a_step(
    ada: Keeper, env: Env, step: str, after: bool
) -> None:
    """503; the blob is the old or the new one, whole, as its version says; then all goes on."""
    db = env.db
    env.db = failing = FailingDatabase(db, STEPS[step], after=after)
    if step in ("reserve", "commit"):
        answer = await ada.store(blob(2), 1)
    elif step == "look":
        answer = await ada.fetch()
    else:
        answer = await ada.ask("DELETE", "/v1/backup", If_Match="1")
    assert_problem(answer, 503, "storage_unavailable")
    assert failing.failed == 1
    env.db = db
    found = await ada.fetch()
    kept = after and step == "commit"
    if after and step == "delete":
        assert found.status == 404
    else:
        expected = ('"2"', blob(2)) if kept else ('"1"', blob(1))
        assert (found.headers["ETag"], found.body) == expected
    version = {200: 2 if kept else 1}.get(found.status)
    assert (await ada.store(blob(3), version)).status in (200, 201)
    await sweep_later(env)
    assert len(await ada.keys()) == 1
    assert (await ada.fetch()).body == blob(3)


async def test_a_commit_whose_answer_is_lost_keeps_its_blob(ada: Keeper, env: Env) -> None:
    """Even when the release fails too: what was committed is never taken for waste."""
    db = env.db
    env.db = FailingDatabase(db, lambda s: STEPS["commit"](s) or STEPS["release"](s), after=True)
    assert (await ada.store(blob(2), 1)).status == 503
    env.db = db
    await sweep_later(env)
    assert (await ada.fetch()).body == blob(2)
    assert (await ada.store(blob(3), 2)).status == 200
    assert len(await ada.keys()) == 1


async def test_a_reservation_that_could_not_be_released_ends_by_silence(
    ada: Keeper, env: Env
) -> None:
    """D1 away at the commit and after it: in use for a while, then free; the sweep clears up."""
    db = env.db
    env.db = FailingDatabase(db, lambda sql: STEPS["commit"](sql) or STEPS["release"](sql))
    assert (await ada.store(blob(2), 1)).status == 503
    env.db = db
    assert_problem(await ada.store(blob(2), 1), 409, "backup_in_use")
    assert len(await ada.keys()) == 2
    await sweep_later(env)
    assert len(await ada.keys()) == 1
    assert (await ada.store(blob(2), 1)).status == 200


async def test_the_next_start_of_the_host_frees_what_was_reserved(ada: Keeper, env: Env) -> None:
    """Whoever reserved before is gone; a database that is away does not stop the start."""
    pending = "UPDATE backups SET pending_key = 'backups/ada/x', pending_at = ?"
    await env.db.prepare(pending).bind(env.now_ms()).run()
    assert_problem(await ada.store(blob(2), 1), 409, "backup_in_use")
    worker = Worker()
    db, env.db = env.db, FailingDatabase(env.db, STEPS["release"])
    await worker.begin(env)
    env.db = db
    assert_problem(await ada.store(blob(2), 1), 409, "backup_in_use")
    await worker.begin(env)
    assert (await ada.store(blob(2), 1)).status == 200


async def test_a_sign_of_life_that_fails_is_forgiven(
    ada: Keeper, env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload goes on, and counts when its reservation still stands."""
    monkeypatch.setattr("worker.backup.blob.BACKUP_TOUCH_SECONDS", -1)
    env.db = failing = FailingDatabase(env.db, lambda sql: "SET pending_at" in sql)
    assert (await ada.store(blob(2, 500_000), 1)).status == 200
    assert failing.failed > 0
    assert (await ada.fetch()).body == blob(2, 500_000)


async def test_a_lost_object_is_told_and_can_be_replaced(ada: Keeper, env: Env) -> None:
    """404 backup_lost with the ETag that an upload names; GET and HEAD agree."""
    await env.blobs.delete(await ada.keys())
    for method in ("GET", "HEAD"):
        answer = await ada.ask(method, "/v1/backup")
        assert (answer.status, answer.headers["ETag"]) == (404, '"1"')
    assert_problem(await ada.fetch(), 404, "backup_lost")
    assert_problem(await ada.store(blob(2)), 409, "backup_changed")
    assert (await ada.store(blob(2), 1)).status == 200
    assert (await ada.fetch()).body == blob(2)
    assert "backup_object_lost" in [event["event"] for event in ada.host.events()]


async def test_a_lost_object_can_be_deleted(ada: Keeper, env: Env) -> None:
    """The slot empties though there is nothing in R2."""
    await env.blobs.delete(await ada.keys())
    assert (await ada.ask("DELETE", "/v1/backup", If_Match="1")).status == 204
    assert (await ada.store(blob(2))).status == 201


async def test_an_overloaded_database_never_costs_a_backup(ada: Keeper, env: Env) -> None:
    """One D1 call of three fails, at random: no 500, and each read is the last that counts."""
    db, turn, version = env.db, 0, 1
    counts = blob(1)

    def third(_sql: str) -> bool:
        nonlocal turn
        turn = (turn * 5 + 3) % 97
        return turn % 3 == 0

    for number in range(2, 40):
        env.db = FailingDatabase(db, third, after=number % 2 == 0)
        answer = await ada.store(blob(number), version)
        assert answer.status in (200, 409, 503), answer.body
        env.db = db
        await env.db.prepare("UPDATE backups SET pending_key = NULL, pending_at = NULL").run()
        found = await ada.fetch()
        if found.headers["ETag"] != f'"{version}"':
            version, counts = version + 1, blob(number)
        else:
            assert answer.status != 200
        assert (found.headers["ETag"], found.body) == (f'"{version}"', counts)
    await sweep_later(env)
    assert len(await ada.keys()) == 1
    assert (await ada.fetch()).body == counts


async def test_the_sweep_spares_what_is_young_or_counts(ada: Keeper, env: Env) -> None:
    """Orphans go after an hour; what counts or is being uploaded never goes."""
    waiting = "backups/ada/waiting"
    await env.blobs.put("backups/ada/orphan", b"x")
    await env.blobs.put(waiting, b"x")
    await env.blobs.put("backups/nobody/orphan", b"x")
    await env.blobs.put("elsewhere/ada/file", b"x")
    await sweep_later(env, 0)
    assert len((await env.blobs.list()).objects) == 5
    reserve = "UPDATE backups SET pending_key = ?, pending_at = ?"
    await env.db.prepare(reserve).bind(waiting, env.now_ms() + 7_200_000).run()
    await sweep_later(env)
    left = {item.key for item in (await env.blobs.list()).objects}
    assert {waiting, "elsewhere/ada/file"} < left
    assert len(left) == 3
    assert (await ada.fetch()).body == blob(1)
    await env.blobs.delete("elsewhere/ada/file")


async def test_the_sweep_works_page_by_page(ada: Keeper, env: Env) -> None:
    """More orphans than a page of a list holds."""
    for start in range(0, 1010, 101):
        keys = [f"backups/zoe/{number:04d}" for number in range(start, start + 101)]
        await asyncio.gather(*(env.blobs.put(key, b"x") for key in keys))
    await sweep_later(env)
    assert len((await env.blobs.list()).objects) == 1


async def test_what_is_held_of_a_person_is_exported_and_erased(ada: Keeper, env: Env) -> None:
    """Both data holders: exact, idempotent, and nobody else loses anything."""
    bob = await make_keeper(env, ada.host, "bob")
    await bob.store(blob(7))
    mine, other = await ada.attach(b"mine"), await bob.attach(b"other")
    await env.blobs.put("backups/ada/orphan", b"x")
    told = {name: await held(env, DATA_HOLDERS[name], "ada") for name in ("backup", "attachments")}
    [known] = told["backup"]["backup"]
    assert known["version"] == 1
    assert (known["path"], known["size"]) == ("/v1/backup", 1000)
    assert told["backup"]["backup.bin"] == [(await ada.fetch()).body]
    assert [row["path"] for row in told["attachments"]["attachments"]] == [
        f"/v1/attachments/{mine}"
    ]
    assert told["attachments"][f"attachments/{mine}"] == [b"mine"]
    for _ in range(2):
        for name in ("backup", "attachments"):
            await DATA_HOLDERS[name].erase(env, "ada")
            assert await held(env, DATA_HOLDERS[name], "ada") == {}
    assert (await ada.fetch()).status == 404
    keys = [item.key for item in (await env.blobs.list()).objects]
    assert all("/bob/" in key for key in keys)
    assert len(keys) == 2
    assert (await bob.fetch()).body == blob(7)
    assert (await bob.ask("GET", f"/v1/attachments/{other}")).body == b"other"


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("D1_ERROR: D1 DB is overloaded. Requests queued for too long.", True),
        ("D1_ERROR: Network connection lost.", True),
        ("D1_ERROR: D1 DB reset because its code was updated.", True),
        (
            "D1_ERROR: D1 DB storage operation exceeded timeout which caused object to be reset.",
            True,
        ),
        ("D1_ERROR: database or disk is full: SQLITE_FULL", True),
        ("D1_ERROR: no such table: overloaded: SQLITE_ERROR", False),
        ("D1_ERROR: UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT", False),
    ],
)
def test_what_of_a_database_passes(text: str, passing: bool) -> None:
    """A D1 that is away is 503 for the caller; a wrong statement is our fault and stays a 500."""
    assert D1Error(text).passing is passing
