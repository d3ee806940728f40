"""What one account may hold: checked before a byte is taken, exact whatever races or dies."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from d1_schema.migrate import migration_names
from d1_schema.sqlite.engine import connect as open_database
from tests.crash.backup_kills import stores
from tests.support.accounts import later
from tests.support.backups import FailingBucket, FailingDatabase, Keeper, blob, make_keeper, sign_in
from tests.support.child_host import child_host
from tests.support.held import held
from tests.support.problems import assert_problem
from tests.support.raw import RawConnection, connect, head
from tests.support.running_host import ROOT, Answer, RunningHost, read, running_host
from tests.support.waiting import until
from worker.backup.sweep import sweep
from worker.env import Env
from worker.registry import DATA_HOLDERS

MOST_BYTES, MOST_ITEMS = 10_000, 8
SHARE = {"ATTACHMENTS_MAX_BYTES": str(MOST_BYTES), "ATTACHMENTS_MAX_ITEMS": str(MOST_ITEMS)}
MEMBERS = ("kind", "held_bytes", "allowed_bytes", "held_items", "allowed_items")
HELD = "SELECT kind, bytes, items FROM held WHERE account_id = ? ORDER BY kind"
# The same from the rows themselves.
COUNTED = """
SELECT 'attachments' AS kind, sum(size) AS bytes, count(*) AS items FROM attachments
WHERE account_id = ?1 HAVING count(*) > 0
UNION ALL
SELECT 'backup', size, 1 FROM backups WHERE account_id = ?1 AND object_key IS NOT NULL
ORDER BY kind
"""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host where an account may hold little."""
    async with running_host(tmp_path / "state", **SHARE) as host:
        yield host


@pytest.fixture
async def ada(host: RunningHost) -> Keeper:
    """Somebody who holds nothing."""
    return await make_keeper(host.env, host)


async def tallies(env: Env, account_id: str = "ada") -> tuple[list[object], list[object]]:
    """Return what is said to be held, and what rows there are."""
    said = (await env.db.prepare(HELD).bind(account_id).all()).results
    real = (await env.db.prepare(COUNTED).bind(account_id).all()).results
    return [row for row in said if row["items"]], list(real)


async def reserved(env: Env) -> int:
    """Return how many uploads have bytes reserved."""
    return int(await env.db.prepare("SELECT count(*) AS n FROM reservations").first("n"))


async def nothing_is_reserved(env: Env) -> None:
    """Wait until every upload has given back what it did not need."""

    async def none() -> bool:
        return await reserved(env) == 0

    await until(none)


async def put(ada: Keeper, size: int) -> Answer:
    """Store an attachment of *size* bytes."""
    return await ada.ask("POST", "/v1/attachments", b"x" * size)


def refused(answer: Answer, held_bytes: int, held_items: int) -> None:
    """Assert that *answer* says what is held and what may be."""
    told = assert_problem(answer, 413, "quota_exceeded", members=MEMBERS)
    assert {name: told[name] for name in MEMBERS} == {
        "kind": "attachments",
        "held_bytes": held_bytes,
        "allowed_bytes": MOST_BYTES,
        "held_items": held_items,
        "allowed_items": MOST_ITEMS,
    }


async def test_the_last_byte_fits_and_one_more_does_not(ada: Keeper) -> None:
    """The refusal says what is held; others have a share of their own; a delete makes room."""
    assert (await put(ada, 9000)).status == 201
    refused(await put(ada, 1001), 9000, 1)
    name = (await put(ada, 1000)).json()["id"]
    refused(await put(ada, 1), MOST_BYTES, 2)
    bob = await make_keeper(ada.host.env, ada.host, "bob")
    assert (await put(bob, MOST_BYTES)).status == 201
    assert (await ada.ask("DELETE", f"/v1/attachments/{name}")).status == 204
    assert (await put(ada, 1000)).status == 201
    assert len((await ada.host.env.blobs.list()).objects) == 3


async def test_their_number_is_held_too(ada: Keeper) -> None:
    """Many small ones cost more than their bytes."""
    for _ in range(MOST_ITEMS):
        assert (await put(ada, 1)).status == 201
    refused(await put(ada, 1), MOST_ITEMS, MOST_ITEMS)


async def test_it_is_refused_before_a_byte_is_taken(ada: Keeper) -> None:
    """The answer comes while the body has not begun, and nothing reaches the store."""
    await put(ada, 9000)
    objects = (await ada.host.env.blobs.list()).objects
    connection = await connect(ada.host.port)
    fields = {**ada.headers, "Content-Length": "5000"}
    await connection.send(head("POST", "/v1/attachments", fields))
    refused(await connection.answer(), 9000, 1)
    await connection.cut()
    assert (await ada.host.env.blobs.list()).objects == objects


async def test_twenty_uploads_at_once_never_pass_the_quota(ada: Keeper) -> None:
    """Ten rounds: ten thousand bytes hold three of three thousand, whoever is first."""
    for _ in range(10):
        answers = await asyncio.gather(*(put(ada, 3000) for _ in range(20)))
        stored = [one.json()["id"] for one in answers if one.status == 201]
        assert len(stored) == 3
        assert {one.status for one in answers} == {201, 413}
        said, real = await tallies(ada.host.env)
        assert said == real == [{"kind": "attachments", "bytes": 9000, "items": 3}]
        for name in stored:
            assert (await ada.ask("DELETE", f"/v1/attachments/{name}")).status == 204
    await nothing_is_reserved(ada.host.env)


async def half(ada: Keeper, size: int = 6000) -> RawConnection:
    """Begin an upload and stop in its middle."""
    connection = await connect(ada.host.port)
    fields = {**ada.headers, "Content-Length": str(size)}
    await connection.send(head("POST", "/v1/attachments", fields) + b"x" * (size // 2))

    async def begun() -> bool:
        return await reserved(ada.host.env) == 1

    await until(begun)
    return connection


async def test_what_is_under_way_counts_and_a_cut_gives_it_back(ada: Keeper) -> None:
    """Half an upload holds all that it declared, until it is cut off."""
    connection = await half(ada)
    refused(await put(ada, 5000), 6000, 1)
    await connection.cut(reset=True)
    await nothing_is_reserved(ada.host.env)
    assert (await put(ada, MOST_BYTES)).status == 201


async def test_what_nobody_gives_back_ends_by_itself(ada: Keeper) -> None:
    """A reservation outlives the longest time that its upload may take, and no more."""
    connection = await half(ada)
    later(ada.host, 60 + 60 - 1)
    assert (await put(ada, 5000)).status == 413
    later(ada.host, 2)
    assert (await put(ada, 5000)).status == 201
    # And then it no longer comes to count.
    await connection.send(b"x" * 3000)
    assert_problem(await connection.answer(), 408, "request_timeout")
    await connection.cut()
    said, real = await tallies(ada.host.env)
    assert said == real == [{"kind": "attachments", "bytes": 5000, "items": 1}]


@pytest.mark.parametrize("after", [False, True])
async def test_a_store_that_fails_gives_back_what_was_reserved(ada: Keeper, after: bool) -> None:
    """Whether R2 or D1 fails, before it acts or with its answer: no row, no bytes, no share."""
    env, db, bucket = ada.host.env, ada.host.env.db, ada.host.env.blobs
    env.blobs = FailingBucket(bucket, "put", after=after)  # type: ignore[assignment]
    assert (await put(ada, 9000)).status == 503
    env.blobs = bucket
    await nothing_is_reserved(env)
    env.db = FailingDatabase(db, lambda sql: sql.startswith("INSERT INTO att"), after=after)
    assert (await put(ada, 9000)).status == 503
    env.db = db
    await env.tools.finish()  # type: ignore[attr-defined]
    assert await reserved(env) == 0
    assert await tallies(env) == ([], [])
    assert (await bucket.list()).objects == []
    assert (await put(ada, MOST_BYTES)).status == 201


async def test_the_count_is_exact_in_whatever_way_rows_come_and_go(ada: Keeper) -> None:
    """Through doors, by expiry, by SQL from elsewhere, when the account goes."""
    env = ada.host.env

    async def agrees() -> list[object]:
        said, real = await tallies(env)
        assert said == real
        return said

    await ada.store(blob(1, 500))
    await ada.store(blob(2, 700), 1)
    for size in (10, 20, 30):
        await put(ada, size)
    assert await agrees() == [
        {"kind": "attachments", "bytes": 60, "items": 3},
        {"kind": "backup", "bytes": 700, "items": 1},
    ]
    await env.db.prepare("UPDATE attachments SET size = size + 1 WHERE size > 10").run()
    assert (await agrees())[0] == {"kind": "attachments", "bytes": 62, "items": 3}
    await env.db.prepare("DELETE FROM attachments WHERE size = 10").run()
    await env.db.prepare("UPDATE attachments SET expires_at = 1 WHERE size = 21").run()
    await sweep(env)
    assert (await agrees())[0] == {"kind": "attachments", "bytes": 31, "items": 1}
    assert (await ada.ask("DELETE", "/v1/backup")).status == 204
    assert len(await agrees()) == 1
    await ada.store(blob(3, 900))
    assert len(await agrees()) == 2
    assert (await held(env, DATA_HOLDERS["held"], "ada"))["held"] == await agrees()
    await env.db.prepare("DELETE FROM accounts WHERE id = 'ada'").run()
    assert await agrees() == []
    assert await env.db.prepare("SELECT count(*) AS n FROM held").first("n") == 0


def test_a_migration_counts_what_there_is() -> None:
    """Of a database of before, with attachments, a backup and an emptied slot."""
    folder = ROOT / "d1_schema" / "migrations"

    texts = {name: (folder / name).read_text(encoding="utf-8") for name in migration_names(folder)}
    before = [name for name in texts if name.startswith("000")]
    with closing(open_database(":memory:")) as db:
        for name in before:
            db.execute(texts.pop(name))
        for account in ("ada", "bob"):
            db.execute("INSERT INTO accounts VALUES (?, 'owner', 1, 1, NULL)", (account,))
        attachment = "INSERT INTO attachments VALUES (?, 'ada', 'k', ?, 1, NULL)"
        db.execute(attachment, ("one", 100))
        db.execute(attachment, ("two", 50))
        db.execute("INSERT INTO backups VALUES ('ada', 3, 'k', 77, 'x', 1, NULL, NULL)")
        db.execute("INSERT INTO backups VALUES ('bob', 4, NULL, NULL, NULL, NULL, NULL, NULL)")
        for text in texts.values():
            db.execute(text)
        found = db.execute("SELECT * FROM held WHERE items > 0 ORDER BY kind")
        assert list(found) == [("ada", "attachments", 150, 2), ("ada", "backup", 77, 1)]


async def test_a_kill_in_the_middle_of_an_upload_leaves_no_reservation(tmp_path: Path) -> None:
    """kill -9 while half of the share is on its way: after a start all of it is free."""
    state = tmp_path / "state"
    async with child_host(state, **SHARE) as child:
        await child.stop(signal.SIGKILL)
        async with stores(state) as env:
            headers = await sign_in(env, "ada")
        await child.start()
        connection = await connect(child.port)
        fields = {**headers, "Content-Length": "6000"}
        await connection.send(head("POST", "/v1/attachments", fields) + b"x" * 3000)
        url = f"http://127.0.0.1:{child.port}/v1/attachments"

        async def store(size: int) -> Answer:
            async with child.session.post(url, data=b"x" * size, headers=headers) as answer:
                return await read(answer)

        async def counts() -> bool:
            # Never stored, and the refusal says what is on its way.
            return bool((await store(MOST_BYTES + 1)).json()["held_bytes"] == 6000)

        await until(counts)
        await child.stop(signal.SIGKILL)
        await connection.cut()
        async with stores(state) as env:
            assert await reserved(env) == 1
        await child.start()
        assert (await store(MOST_BYTES)).status == 201
        await child.stop(signal.SIGTERM)
        async with stores(state) as env:
            assert await reserved(env) == 0
            said, real = await tallies(env)
            assert said == real == [{"kind": "attachments", "bytes": MOST_BYTES, "items": 1}]
