"""Attachments: opaque files, parts of them, how long they live, and where they live."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import s3_servers
from tests.support.accounts import later
from tests.support.backups import (
    FailingBucket,
    FailingDatabase,
    Keeper,
    blob,
    make_keeper,
    pieces,
    sweep_later,
)
from tests.support.problems import assert_problem
from tests.support.raw import connect, head
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import PATIENCE, until
from worker.backup.conditions import parse_range
from worker.backup.doors import ATTACHMENT_MAX_BYTES
from worker.errors import RangeNotSatisfiable

DAY = 24 * 3600
BODY = bytes(range(100))


@pytest.fixture
async def ada(host: RunningHost) -> Keeper:
    """Somebody without attachments."""
    return await make_keeper(host.env, host)


@pytest.fixture
async def on_s3(tmp_path: Path) -> AsyncIterator[Keeper]:
    """Somebody at a host whose R2 is an S3 server."""
    address = f"{s3_servers.shared('moto').url}/{s3_servers.fresh_name()}"
    async with running_host(tmp_path / "state", EDGEKEEP_R2=address) as host:
        yield await make_keeper(host.env, host)


async def test_an_attachment_is_stored_read_and_deleted(ada: Keeper) -> None:
    """201 with id and place; the same bytes back; 404 after its owner deleted it."""
    answer = await ada.ask("POST", "/v1/attachments", BODY)
    told = answer.json()
    assert (answer.status, told["size"]) == (201, 100)
    path = answer.headers["Location"]
    assert path == f"/v1/attachments/{told['id']}"
    found = await ada.ask("GET", path)
    assert (found.status, found.body) == (200, BODY)
    assert found.headers["ETag"] == f'"{told["id"]}"'
    assert found.headers["Content-Type"] == "application/octet-stream"
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    seen = await ada.ask("HEAD", path)
    assert (seen.status, seen.body, seen.headers["Content-Length"]) == (200, b"", "100")
    assert seen.headers["ETag"] == found.headers["ETag"]
    assert (await ada.ask("DELETE", path)).status == 204
    for method in ("GET", "HEAD", "DELETE"):
        assert (await ada.ask(method, path)).status == 404


async def test_who_signed_in_and_knows_the_id_reads_and_only_the_owner_deletes(
    ada: Keeper,
) -> None:
    """Friends fetch avatars; strangers get nothing, and nobody deletes what is another's."""
    path = f"/v1/attachments/{await ada.attach(BODY)}"
    bob = await make_keeper(ada.host.env, ada.host, "bob")
    assert (await bob.ask("GET", path)).body == BODY
    assert_problem(await bob.ask("DELETE", path), 404, "not_found")
    assert_problem(await ada.host.get(path), 401, "unauthorized")
    assert (await ada.ask("GET", path)).status == 200


@pytest.mark.parametrize("size", [1, 70_000, ATTACHMENT_MAX_BYTES])
async def test_the_sizes_of_attachments(ada: Keeper, size: int) -> None:
    """1 byte to 50 MiB."""
    body = blob(1, size) if size > 9 else b"x"
    path = f"/v1/attachments/{await ada.attach(body)}"
    assert (await ada.ask("GET", path)).body == body


async def test_what_is_no_attachment_is_refused(ada: Keeper) -> None:
    """Empty 400, chunked 411, more than 50 MiB 413, cut off 400 or nothing: nothing stays."""
    assert_problem(await ada.ask("POST", "/v1/attachments", b""), 400, "bad_request")
    chunked = await ada.ask("POST", "/v1/attachments", pieces(b"x" * 10))
    assert_problem(chunked, 411, "length_required")
    for length, sent in ((ATTACHMENT_MAX_BYTES + 1, b""), (100, b"x" * 50)):
        connection = await connect(ada.host.port)
        fields = {**ada.headers, "Content-Length": str(length)}
        await connection.send(head("POST", "/v1/attachments", fields) + sent)
        if not sent:
            assert_problem(await connection.answer(), 413, "payload_too_large")
        await connection.cut()

    async def nothing_stays() -> bool:
        return (await ada.host.env.blobs.list()).objects == []

    await until(nothing_stays)


async def test_an_attachment_that_dawdles_is_408(
    ada: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for a body holds here as for backups."""
    monkeypatch.setattr("worker.backup.blob.UPLOAD_SECONDS", 0.1)
    connection = await connect(ada.host.port)
    fields = {**ada.headers, "Content-Length": "100"}
    await connection.send(head("POST", "/v1/attachments", fields) + b"x")
    assert_problem(await connection.answer(), 408, "request_timeout")
    await connection.cut()


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 10)),
        ("bytes=90-", (90, 10)),
        ("bytes=95-500", (95, 5)),
        ("bytes=-7", (93, 7)),
        ("bytes=-700", (0, 100)),
        ("BYTES=0-99", (0, 100)),
        ("bytes= 5-6 ", (5, 2)),
        ("bytes=100-", None),
        ("bytes=500-600", None),
        ("bytes=-0", None),
        ("bytes=" + "9" * 400 + "-", None),
        ("bytes=5-4", ()),
        ("bytes=-", ()),
        ("bytes=", ()),
        ("bytes=a-b", ()),
        ("bytes=1-2,4-5", ()),
        ("bytes=1-2,", ()),
        ("items=0-5", ()),
        ("bytes 0-5", ()),
        ("bytes=--5", ()),
        ("bytes=+1-5", ()),
        ("", ()),
    ],
)
async def test_a_part_of_an_attachment(
    ada: Keeper, asked: str, part: tuple[int, int] | tuple[()] | None
) -> None:
    """206 with Content-Range; 416 with the size beyond the end; all of it for anything else."""
    path = f"/v1/attachments/{await ada.attach(BODY)}"
    answer = await ada.ask("GET", path, Range=asked)
    if part is None:
        assert_problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == "bytes */100"
    elif part:
        first, length = part
        assert (answer.status, answer.body) == (206, BODY[first : first + length])
        shown = f"bytes {first}-{first + length - 1}/100"
        assert answer.headers["Content-Range"] == shown
        assert answer.headers["Content-Length"] == str(length)
        assert "ETag" in answer.headers
    else:
        assert (answer.status, answer.body) == (200, BODY)
        assert "Content-Range" not in answer.headers


async def test_range_is_for_get_and_for_the_file_one_has(ada: Keeper) -> None:
    """HEAD ignores it; If-Range with another tag, a weak one or a date gets everything."""
    name = await ada.attach(BODY)
    path, part = f"/v1/attachments/{name}", "bytes=1-3"
    answer = await ada.ask("HEAD", path, Range=part)
    assert (answer.status, answer.headers["Content-Length"]) == (200, "100")
    for tag, status in (
        (f'"{name}"', 206),
        (f'W/"{name}"', 200),
        ('"other"', 200),
        (name, 200),
        ("Sat, 21 Nov 2026 08:00:00 GMT", 200),
    ):
        answer = await ada.ask("GET", path, Range=part, If_Range=tag)
        assert answer.status == status, tag
    answer = await ada.ask("GET", path, Range=part, If_None_Match=f'"{name}"')
    assert (answer.status, answer.body) == (304, b"")


@given(st.integers(1, 50), st.text("0123456789-,= bytes", max_size=14).map("bytes={}".format))
def test_a_range_is_a_part_of_the_file_or_nothing(size: int, header: str) -> None:
    """Whatever the header says, no part reaches beyond the file, and none is empty."""
    try:
        part = parse_range(header, size)
    except RangeNotSatisfiable:
        return
    if part is not None:
        assert 0 <= part.offset < part.offset + part.length <= size


@given(st.integers(1, 1000), st.integers(0, 1200), st.integers(0, 1200))
def test_a_range_means_what_rfc_9110_says(size: int, first: int, last: int) -> None:
    """Against the words of §14.1.2: first to last, both counted; first to the end; the last n."""
    whole = range(size)
    wanted = {
        f"bytes={first}-{last}": whole[first : last + 1] if first <= last else whole,
        f"bytes={first}-": whole[first:],
        f"bytes=-{last}": whole[max(size - last, 0) :] if last else whole[:0],
    }
    for header, meant in wanted.items():
        try:
            part = parse_range(header, size)
        except RangeNotSatisfiable:
            assert len(meant) == 0
            continue
        assert (whole if part is None else whole[part.offset :][: part.length]) == meant


@pytest.mark.parametrize("known", ["{}", 'W/{}, "x"', "*"])
async def test_an_attachment_that_the_client_has_is_304(ada: Keeper, known: str) -> None:
    """It never changes, so a cache may keep it for a month."""
    name = await ada.attach(BODY)
    told = known.format(f'"{name}"')
    answer = await ada.ask("GET", f"/v1/attachments/{name}", If_None_Match=told)
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", f'"{name}"')
    assert "immutable" in answer.headers["Cache-Control"]


async def test_an_attachment_lives_thirty_days_unless_the_backup_names_it(ada: Keeper) -> None:
    """Named: for ever. No longer named: thirty days from then. The sweep takes the bytes."""
    avatar, other = await ada.attach(b"avatar"), await ada.attach(b"other")
    stored = await ada.store(blob(1), X_Backup_Attachments=f"{avatar}, {'z' * 22}")
    assert stored.status == 201
    later(ada.host, 31 * DAY)
    fresh = await make_keeper(ada.host.env, ada.host)
    assert (await fresh.ask("GET", f"/v1/attachments/{other}")).status == 404
    assert (await fresh.ask("GET", f"/v1/attachments/{avatar}")).body == b"avatar"
    await sweep_later(ada.host.env)
    left = await ada.host.env.blobs.list(prefix="attachments/")
    assert [item.key for item in left.objects] == [f"attachments/ada/{avatar}"]
    assert (await fresh.store(blob(2), 1)).status == 200
    later(ada.host, 29 * DAY)
    fresh = await make_keeper(ada.host.env, ada.host)
    assert (await fresh.ask("GET", f"/v1/attachments/{avatar}")).status == 200
    later(ada.host, 2 * DAY)
    await sweep_later(ada.host.env)
    assert (await ada.host.env.blobs.list(prefix="attachments/")).objects == []


async def test_deleting_the_backup_begins_the_thirty_days(ada: Keeper) -> None:
    """And a backup keeps only what is its owner's."""
    bob = await make_keeper(ada.host.env, ada.host, "bob")
    mine, his = await ada.attach(b"mine"), await bob.attach(b"his")
    await ada.store(blob(1), X_Backup_Attachments=f"{mine},{his}")
    ends = "SELECT id FROM attachments WHERE expires_at IS NULL"
    assert (await ada.host.env.db.prepare(ends).raw()) == [[mine]]
    await ada.ask("DELETE", "/v1/backup")
    assert (await ada.host.env.db.prepare(ends).raw()) == []


@pytest.mark.parametrize("after", [False, True])
async def test_an_attachment_whose_row_or_bytes_fail_leaves_nothing(
    ada: Keeper, after: bool
) -> None:
    """503 while a store is away; nothing stays that nobody could ever name."""
    env, db, bucket = ada.host.env, ada.host.env.db, ada.host.env.blobs
    env.db = FailingDatabase(db, lambda sql: sql.startswith("INSERT INTO att"), after=after)
    assert_problem(await ada.ask("POST", "/v1/attachments", BODY), 503, "storage_unavailable")
    env.db = db
    env.blobs = FailingBucket(bucket, "put", after=after)  # type: ignore[assignment]
    assert_problem(await ada.ask("POST", "/v1/attachments", BODY), 503, "storage_unavailable")
    env.blobs = bucket
    await env.tools.finish()  # type: ignore[attr-defined]
    assert (await bucket.list()).objects == []


async def test_backup_and_attachments_on_an_s3_server(on_s3: Keeper) -> None:
    """The same doors, the same answers: store, replace, parts, cut off, delete, sweep."""
    name = await on_s3.attach(BODY)
    stored = await on_s3.store(blob(1, 300_000), X_Backup_Attachments=name)
    assert stored.status == 201, stored.body
    assert (await on_s3.store(blob(2, 2_000_000), 1)).status == 200
    assert (await on_s3.fetch()).body == blob(2, 2_000_000)
    path = f"/v1/attachments/{name}"
    assert (await on_s3.ask("GET", path)).body == BODY
    part = await on_s3.ask("GET", path, Range="bytes=10-19")
    assert (part.status, part.body) == (206, BODY[10:20])
    assert (await on_s3.ask("GET", path, Range="bytes=100-")).status == 416
    connection = await connect(on_s3.host.port)
    fields = {**on_s3.headers, "Content-Length": "1000", "If-Match": "2"}
    await connection.send(head("POST", "/v1/backup", fields) + b"x" * 500)
    await asyncio.sleep(0.1)
    await connection.cut()
    async with asyncio.timeout(PATIENCE):
        while (await on_s3.store(blob(3), 2)).status == 409:
            await asyncio.sleep(0.02)
    await sweep_later(on_s3.host.env)
    assert len(await on_s3.keys()) == 1
    assert (await on_s3.fetch()).body == blob(3)
    assert (await on_s3.ask("DELETE", "/v1/backup")).status == 204
    assert await on_s3.keys() == []
