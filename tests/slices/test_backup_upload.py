"""Backups up and down: bounds, bodies that lie or break off, readers meanwhile, who may."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.backups import Keeper, blob, make_keeper, pieces
from tests.support.problems import assert_problem
from tests.support.raw import RawConnection, connect, head
from tests.support.running_host import Answer, RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker.backup.doors import BACKUP_MIN_BYTES
from worker.identity.tokens import issue
from worker.limits import MIB


@pytest.fixture
async def ada(host: RunningHost) -> Keeper:
    """Somebody without a backup."""
    return await make_keeper(host.env, host)


async def begin(ada: Keeper, length: int, **fields: str) -> RawConnection:
    """Send the head of an upload of *length* bytes."""
    connection = await connect(ada.host.port)
    sent = {**ada.headers, "Content-Length": str(length), **fields}
    await connection.send(head("POST", "/v1/backup", sent))
    return connection


async def test_the_life_of_a_backup(ada: Keeper) -> None:
    """First, read, replaced, deleted, first again; no version number ever comes back."""
    assert_problem(await ada.fetch(), 404, "not_found")
    assert (await ada.ask("HEAD", "/v1/backup")).status == 404
    first = await ada.store(blob(1))
    assert (first.status, first.headers["ETag"]) == (201, '"1"')
    told = first.json()
    assert (told["version"], told["size"]) == (1, 1000)
    assert told["sha256"] == hashlib.sha256(blob(1)).hexdigest()
    second = await ada.store(blob(2, 5000), 1)
    assert (second.status, second.headers["ETag"]) == (200, '"2"')
    answer = await ada.fetch()
    assert (answer.status, answer.body) == (200, blob(2, 5000))
    assert answer.headers["ETag"] == '"2"'
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["X-Checksum-Sha256"] == second.json()["sha256"]
    assert len(await ada.keys()) == 1
    gone = await ada.ask("DELETE", "/v1/backup", If_Match='"2"')
    assert (gone.status, gone.body) == (204, b"")
    assert await ada.keys() == []
    assert_problem(await ada.fetch(), 404, "not_found")
    assert_problem(await ada.ask("DELETE", "/v1/backup"), 404, "not_found")
    again = await ada.store(blob(3))
    assert (again.status, again.headers["ETag"]) == (201, '"4"')


async def test_head_tells_what_get_tells(ada: Keeper) -> None:
    """The same fields, Content-Length once, no body; the next answer on the line is whole."""
    await ada.store(blob(1, 70_000))
    connection = await connect(ada.host.port)
    await connection.send(head("HEAD", "/v1/backup", ada.headers))
    raw = await connection.reader.readuntil(b"\r\n\r\n")
    assert raw.lower().count(b"content-length: 70000\r\n") == 1
    assert raw.lower().count(b"content-length") == 1
    assert b"chunked" not in raw
    await connection.send(head("GET", "/v1/backup", ada.headers))
    answer = await connection.answer()
    assert (answer.status, answer.body) == (200, blob(1, 70_000))
    await connection.cut()
    told = await ada.ask("HEAD", "/v1/backup")
    got = await ada.fetch()
    fixed = {name.lower() for name in (*got.headers, *told.headers)} - {"x-request-id", "date"}
    assert {name: told.headers[name] for name in fixed} == {n: got.headers[n] for n in fixed}


@pytest.mark.parametrize("over", [None, 1])
async def test_the_bounds_of_a_blob(ada: Keeper, over: int | None) -> None:
    """32 bytes and 2 MiB are taken, one less or more is not, and leaves all as it was."""
    if over is not None:
        await ada.store(blob(0))
    too_short = await ada.store(blob(1, BACKUP_MIN_BYTES - 1), over)
    assert_problem(too_short, 400, "bad_request")
    assert_problem(await ada.store(b"", over), 400, "bad_request")
    too_long = await ada.store(blob(1, 2 * MIB + 1), over)
    assert_problem(too_long, 413, "payload_too_large")
    assert (await ada.fetch()).status == (404 if over is None else 200)
    for size in (BACKUP_MIN_BYTES, 2 * MIB):
        stored = await ada.store(blob(size, size), over)
        assert stored.status in (200, 201)
        over = stored.json()["version"]
        assert (await ada.fetch()).body == blob(size, size)


async def test_the_limit_is_a_setting_alone(tmp_path: Path) -> None:
    """With BACKUP_MAX_BYTES=100000000, seven megabytes go through the same doors and tables."""
    async with running_host(tmp_path / "state", BACKUP_MAX_BYTES="100000000") as host:
        ada = await make_keeper(host.env, host)
        assert (await ada.store(blob(1, 7_000_000))).status == 201
        assert (await ada.fetch()).body == blob(1, 7_000_000)
        assert_problem(await upload_of(ada, 100_000_001), 413, "payload_too_large")


async def upload_of(ada: Keeper, length: int) -> Answer:
    """Announce *length* bytes, send none, and return the answer."""
    connection = await begin(ada, length, **{"If-Match": "1"})
    answer = await connection.answer()
    await connection.cut()
    return answer


async def test_a_body_without_its_length_is_411(ada: Keeper) -> None:
    """Chunked, 3 MB or little: refused before a byte counts; also beside a Content-Length."""
    for parts in ([b"x" * 64], [b"x" * 300_000] * 10):
        assert_problem(await ada.store(pieces(*parts)), 411, "length_required")
    connection = await begin(ada, 100, **{"Transfer-Encoding": "chunked"})
    await connection.send(b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n")
    assert (await connection.answer()).status == 400
    await connection.cut()
    assert (await ada.fetch()).status == 404


@pytest.mark.parametrize("length", ["-1", "+50", "5e2", "0x40", "50, 50", "50, 60", "", "9" * 30])
async def test_a_length_that_is_no_number_is_refused(ada: Keeper, length: str) -> None:
    """No 5xx, and nothing is stored."""
    connection = await connect(ada.host.port)
    sent = {**ada.headers, "Content-Length": length}
    await connection.send(head("POST", "/v1/backup", sent) + b"x" * 50)
    assert (await connection.answer()).status in (400, 411, 413)
    await connection.cut()
    assert (await ada.fetch()).status == 404


async def test_an_upload_cut_at_each_tenth_leaves_the_old(ada: Keeper) -> None:
    """Cut or reset anywhere: the old blob, and the next upload need not wait."""
    body = blob(2, 200_000)
    await ada.store(blob(1))
    for tenth in range(10):
        connection = await begin(ada, len(body), **{"If-Match": "1"})
        await connection.send(body[: len(body) * tenth // 10])
        await asyncio.sleep(0.005)
        await connection.cut(reset=tenth % 2 == 1)
        assert (await ada.fetch()).body == blob(1)
    async with asyncio.timeout(PATIENCE):
        while (answer := await ada.store(body, 1)).status == 409:
            assert answer.json()["error"] == "backup_in_use"
            await asyncio.sleep(0.01)
    assert (answer.status, (await ada.fetch()).body) == (200, body)
    assert len(await ada.keys()) == 1


async def test_a_half_closed_upload_is_told_so(ada: Keeper) -> None:
    """The client ends its side too early and still listens: it hears of it, and it is all over."""
    connection = await begin(ada, 1000)
    await connection.send(blob(1, 900))
    connection.writer.write_eof()
    raw = await connection.reader.read()
    assert raw == b"" or raw.startswith(b"HTTP/1.1 400")
    await connection.cut()
    assert (await ada.store(blob(2))).status == 201


@pytest.mark.parametrize("together", [True, False])
async def test_more_than_was_announced_is_not_part_of_the_blob(ada: Keeper, together: bool) -> None:
    """HTTP ends a body where its length says; what follows is no request and ends the line."""
    connection = await begin(ada, 100)
    more = b"more than that, and not HTTP\r\n\r\n"
    await connection.send(blob(1, 100) + (more if together else b""))
    answer = await connection.answer()
    if not together:
        assert (answer.status, answer.json()["size"]) == (201, 100)
        await connection.send(more)
        answer = await connection.answer()
    assert answer.status == 400
    assert await connection.reader.read() == b""
    await connection.cut()
    found = await ada.fetch()
    # In one packet, the refusal may come first: then nothing of it counts.
    assert (found.status, found.body) == (200, blob(1, 100)) or (together and found.status == 404)
    version = 1 if found.status == 200 else None
    assert (await ada.store(blob(2), version)).status in (200, 201)


async def test_an_upload_that_dawdles_ends_with_408(
    ada: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its time it is over: nothing stored, and the next one goes ahead at once."""
    monkeypatch.setattr("worker.backup.blob.UPLOAD_SECONDS", 0.3)
    monkeypatch.setattr("worker.backup.blob.UPLOAD_BYTES_PER_SECOND", 1_000_000)
    connection = await begin(ada, 1000)
    for _ in range(3):
        await connection.send(b"x" * 50)
        await asyncio.sleep(0.05)
    answer = await connection.answer()
    assert_problem(answer, 408, "request_timeout")
    assert (await ada.store(blob(2))).status == 201
    assert len(await ada.keys()) == 1
    await connection.cut()


async def test_a_reader_during_an_upload_gets_the_old_one(ada: Keeper) -> None:
    """Until the last byte is acknowledged, GET, HEAD and the version are those of before."""
    body = blob(2, 100_000)
    await ada.store(blob(1))
    connection = await begin(ada, len(body), **{"If-Match": "1"})
    for start in range(0, 90_000, 30_000):
        await connection.send(body[start : start + 30_000])
        answer = await ada.fetch()
        assert (answer.headers["ETag"], answer.body) == ('"1"', blob(1))
    await connection.send(body[90_000:])
    assert (await connection.answer()).status == 200
    await connection.cut()
    assert (await ada.fetch()).body == body


async def test_a_reader_who_has_begun_reads_the_old_one_to_its_end(tmp_path: Path) -> None:
    """Replaced and swept meanwhile: what was begun stays whole."""
    size = 30_000_000
    async with running_host(tmp_path / "state", BACKUP_MAX_BYTES=str(size)) as host:
        ada = await make_keeper(host.env, host)
        await ada.store(blob(1, size))
        url = f"{host.url}/v1/backup"
        async with host.session.get(url, headers=ada.headers) as slow:
            got = hashlib.sha256(await slow.content.readexactly(100_000))
            assert (await ada.store(blob(2), 1)).status == 200
            assert len(await ada.keys()) == 1
            async for chunk in slow.content.iter_any():
                got.update(chunk)
        assert got.hexdigest() == hashlib.sha256(blob(1, size)).hexdigest()
        assert (await ada.fetch()).body == blob(2)


async def test_only_its_owner_has_a_backup(ada: Keeper) -> None:
    """Others see and change their own slot; strangers, machines and other tokens see none."""
    host = ada.host
    bob = await make_keeper(host.env, host, "bob")
    await ada.store(blob(1))
    assert (await bob.fetch()).status == 404
    assert (await bob.store(blob(2))).status == 201
    assert (await bob.ask("DELETE", "/v1/backup")).status == 204
    assert (await ada.fetch()).body == blob(1)
    keys, now = host.env.settings.signing_keys, host.env.tools.now()
    machine = issue(keys, "ada", [], now, 15, audience="backup")
    for method in ("GET", "POST", "DELETE"):
        assert_problem(await host.ask(method, "/v1/backup"), 401, "unauthorized")
        asked = await host.ask(method, "/v1/backup", headers=host.bearer(subject="ada"))
        assert_problem(asked, 401, "unauthorized")
        asked = await host.ask(method, "/v1/backup", headers={"Authorization": f"Bearer {machine}"})
        assert_problem(asked, 403, "forbidden")


async def test_a_token_that_outlives_its_account_stores_nothing(ada: Keeper) -> None:
    """Within the seconds until its end is known: a refusal, no 5xx, no object."""
    await ada.host.env.db.prepare("DELETE FROM accounts WHERE id = 'ada'").run()
    for path in ("/v1/backup", "/v1/attachments"):
        assert 400 <= (await ada.ask("POST", path, blob(1))).status < 500
    await ada.host.env.tools.finish()  # type: ignore[attr-defined]
    assert (await ada.host.env.blobs.list()).objects == []


async def test_nothing_of_a_blob_is_in_the_log(ada: Keeper) -> None:
    """Neither bytes nor digest nor key of the object, whether stored or refused."""
    secret = b"CANARY" * 20

    async def broken() -> AsyncIterator[bytes]:
        yield secret

    stored = await ada.store(secret)
    await ada.store(secret)
    await ada.store(broken())
    await ada.fetch()
    text = str(ada.host.events())
    assert "CANARY" not in text
    assert stored.json()["sha256"] not in text
    assert "backups/" not in text
