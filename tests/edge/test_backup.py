"""The doors of backup and attachments in real workerd: bodies stream through R2's own binding."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.edge.conftest import edge_host
from tests.edge.remote import RemoteDatabase
from tests.edge.workerd import Workerd
from tests.support.backups import BINARY, Keeper, blob, pieces
from tests.support.problems import assert_problem
from tests.support.raw import connect, head
from tests.support.waiting import PATIENCE
from worker.identity.tokens import issue

_ACCOUNT = "INSERT INTO accounts VALUES ('ada', 'owner', 0, 0, NULL)"
_ROWS = "SELECT object_key, pending_key FROM backups"


@pytest.fixture
async def ada(workerd: Workerd) -> AsyncIterator[Keeper]:
    """Somebody without a backup."""
    async with edge_host(workerd) as host:
        await RemoteDatabase(workerd, "DB").prepare(_ACCOUNT).run()
        keys = host.settings.signing_keys
        token = issue(keys, "ada", [], time.time(), 15, audience="backup", sid="s", role="owner")
        host.port = int(host.url.rpartition(":")[2])
        yield Keeper(host, "ada", {"Authorization": f"Bearer {token}", **BINARY})


async def test_a_backup_lives_at_the_edge(ada: Keeper) -> None:
    """First, replaced, read, known, conflicting, deleted: the same answers as on a host."""
    assert_problem(await ada.fetch(), 404, "not_found")
    first = await ada.store(blob(1, 2_000_000))
    assert (first.status, first.headers["ETag"]) == (201, '"1"'), first.body
    found = await ada.fetch()
    assert (found.status, found.body) == (200, blob(1, 2_000_000))
    assert_problem(await ada.store(blob(2)), 409, "backup_changed")
    assert (await ada.store(blob(2), 1)).status == 200
    assert (await ada.fetch(If_None_Match='"2"')).status == 304
    assert_problem(await ada.store(blob(3), 1), 409, "backup_changed")
    assert_problem(await ada.store(pieces(b"x" * 100), 2), 411, "length_required")
    assert_problem(await ada.store(b"x" * 31, 2), 400, "bad_request")
    assert (await ada.ask("DELETE", "/v1/backup", If_Match="2")).status == 204
    assert (await ada.store(blob(4))).headers["ETag"] == '"4"'


async def test_head_at_the_edge_tells_what_get_tells(ada: Keeper) -> None:
    """One Content-Length, the same fields, no body."""
    await ada.store(blob(1, 70_000))
    got = await ada.fetch()
    connection = await connect(ada.host.port)
    await connection.send(head("HEAD", "/v1/backup", ada.headers))
    raw = (await connection.reader.readuntil(b"\r\n\r\n")).lower()
    await connection.cut()
    assert raw.count(b"content-length: 70000\r\n") == raw.count(b"content-length") == 1
    for name in ("ETag", "X-Checksum-Sha256", "Content-Type", "Cache-Control"):
        assert f"{name}: {got.headers[name]}".lower().encode() in raw
    assert got.headers["Content-Length"] == "70000"


async def test_a_body_that_breaks_off_at_the_edge_leaves_the_old(
    ada: Keeper, workerd: Workerd
) -> None:
    """Cut in the middle: the old blob, no reservation, and the next upload is stored."""
    await ada.store(blob(1))
    connection = await connect(ada.host.port)
    fields = {**ada.headers, "Content-Length": "100000", "If-Match": "1"}
    await connection.send(head("POST", "/v1/backup", fields) + blob(2, 50_000))
    await asyncio.sleep(0.3)
    await connection.cut()
    async with asyncio.timeout(PATIENCE):
        while (answer := await ada.store(blob(3), 1)).status == 409:
            assert answer.json()["error"] == "backup_in_use"
            assert (await ada.fetch()).body == blob(1)
            await asyncio.sleep(0.5)
    assert answer.status == 200, answer.body
    assert (await ada.fetch()).body == blob(3)
    row = await RemoteDatabase(workerd, "DB").prepare(_ROWS).first()
    assert row is not None
    assert row["pending_key"] is None


async def test_of_ten_uploads_at_the_edge_one_wins(ada: Keeper) -> None:
    """D1 decides the race there, too."""
    answers = await asyncio.gather(*(ada.store(blob(number)) for number in range(10)))
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [201] + [409] * 9
    won = next(number for number, answer in enumerate(answers) if answer.status == 201)
    assert (await ada.fetch()).body == blob(won)


async def test_attachments_at_the_edge(ada: Keeper) -> None:
    """Stored, read whole and in parts, named by a backup, deleted."""
    body = bytes(range(250)) * 400
    name = await ada.attach(body)
    path = f"/v1/attachments/{name}"
    assert (await ada.ask("GET", path)).body == body
    part = await ada.ask("GET", path, Range="bytes=10-19")
    assert (part.status, part.body) == (206, body[10:20])
    assert part.headers["Content-Range"] == "bytes 10-19/100000"
    assert (await ada.ask("GET", path, Range="bytes=-5")).body == body[-5:]
    assert_problem(await ada.ask("GET", path, Range="bytes=100000-"), 416, "range_not_satisfiable")
    assert (await ada.ask("HEAD", path)).headers["Content-Length"] == "100000"
    assert (await ada.ask("GET", path, If_None_Match=f'"{name}"')).status == 304
    assert (await ada.ask("DELETE", path)).status == 204
    assert (await ada.ask("GET", path)).status == 404
