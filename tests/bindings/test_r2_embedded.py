"""The bucket in a folder: what lies on the disk, the sweep, two processes, closing."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from d1_schema.sqlite.engine import Error
from r2.bodies import BodyFolder, BodyWriter
from r2.contract import FixedLengthStream, R2Error, R2ObjectBody
from r2.embedded import EmbeddedBucket, open_bucket
from tests.bindings.r2_adapters import Clock
from tests.bindings.r2_folder import BIG, files, read, reopen
from tests.support.waiting import until


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
async def bucket(tmp_path: Path, clock: Clock) -> AsyncIterator[EmbeddedBucket]:
    """An empty bucket in tmp_path."""
    opened = await reopen(tmp_path, clock, 1)
    yield opened
    await opened.close()


async def test_no_file_is_named_by_a_key(bucket: EmbeddedBucket, tmp_path: Path) -> None:
    """
    Keys that would climb out of the folder, clash or be no file name stay rows.
    """
    keys = ["../../evil", "/etc/passwd", "a", "A", "a/b", "nul\0byte", "é" * 500, ""]
    for key in keys:
        await bucket.put(key, key)

    assert [await read(bucket, key) for key in keys] == [key.encode() for key in keys]
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    fixed = {"bodies", "incoming", "open.lock"}
    assert names - fixed - {n for n in names if n.startswith("ledger.sqlite")} == {
        f"bodies/{path.name}" for path in files(tmp_path)
    }
    assert all(len(path.name) == 32 for path in files(tmp_path))


async def test_what_is_replaced_refused_or_deleted_leaves_no_file(
    bucket: EmbeddedBucket, tmp_path: Path
) -> None:
    """
    After overwrites, failed conditions, wrong checksums, broken streams, deletes and
    uploads of every end, the files are those of the objects there are.
    """

    async def short() -> AsyncIterator[bytes]:
        yield BIG

    for body in ("1", BIG, "2"):
        await bucket.put("kept", body)
    await bucket.put("kept", BIG, only_if={"etag_does_not_match": "*"})
    await bucket.put("gone", BIG)
    await bucket.delete("gone")
    for body in (b"x", BIG):
        with pytest.raises(R2Error, match="10037"):
            await bucket.put("kept", body, md5="0" * 32)
    with pytest.raises(TypeError):
        await bucket.put("kept", FixedLengthStream(short(), 10 * len(BIG)))
    upload = await bucket.create_multipart_upload("mp")
    await upload.upload_part(2, BIG)
    await upload.complete([await upload.upload_part(1, BIG)])
    aborted = await bucket.create_multipart_upload("mp")
    await aborted.upload_part(1, BIG)
    await aborted.abort()
    with pytest.raises(R2Error, match="10024"):
        await aborted.upload_part(1, BIG)
    await bucket.close()

    assert len(files(tmp_path)) == 2
    assert [path.parent.name for path in files(tmp_path)] == ["bodies"] * 2


async def test_two_processes_share_a_folder(
    bucket: EmbeddedBucket, tmp_path: Path, clock: Clock
) -> None:
    """
    Two buckets on one folder see each other's writes at once, and of their parallel
    creates one wins.
    """
    other = await reopen(tmp_path, clock, 2)
    await bucket.put("k", "from one")
    assert await read(other, "k") == b"from one"
    create = {"etag_does_not_match": "*"}

    both = [bucket, other]
    puts = (both[i % 2].put("new", f"{i}", only_if=create) for i in range(20))
    results = await asyncio.gather(*puts)

    assert sum(result is not None for result in results) == 1
    assert await read(bucket, "new") == await read(other, "new")
    await other.close()


async def test_a_put_that_is_cancelled_leaves_the_old_object_or_the_new(
    bucket: EmbeddedBucket, tmp_path: Path
) -> None:
    """
    Cancelled at any moment, a put either happened or not, and leaves no file behind.
    """
    old, new = b"old" * 200_000, b"new" * 200_000
    await bucket.put("k", old)
    for ticks in range(12):
        putting = asyncio.ensure_future(bucket.put("k", new))
        for _ in range(ticks):
            await asyncio.sleep(0.0005)
        putting.cancel()
        await asyncio.gather(putting, return_exceptions=True)
        assert await read(bucket, "k") in (old, new)
    await bucket.close()

    assert len(files(tmp_path)) == 1


async def test_a_body_that_vanished_is_an_internal_error(
    bucket: EmbeddedBucket, tmp_path: Path
) -> None:
    """
    A row without its file, or with a shorter one, answers 10001; the rest still works.
    """
    await bucket.put("gone", BIG)
    files(tmp_path)[0].unlink()
    await bucket.put("short", BIG)
    files(tmp_path)[0].write_bytes(b"x")

    with pytest.raises(R2Error, match=r"get: .* \(10001\)"):
        await bucket.get("gone")
    with pytest.raises(R2Error, match=r"get: .* \(10001\)"):
        await read(bucket, "short")
    await bucket.put("gone", "back")
    assert await read(bucket, "gone") == b"back"


async def test_a_get_that_meets_an_overwrite_returns_the_new_object(
    bucket: EmbeddedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    When the body goes between the look at the row and the opening, get looks again.
    """
    await bucket.put("k", "old")
    loop = asyncio.get_running_loop()
    original = BodyFolder.open

    def late(folder: BodyFolder, version: str) -> int:
        monkeypatch.setattr(BodyFolder, "open", original)
        asyncio.run_coroutine_threadsafe(bucket.put("k", "new"), loop).result()
        folder.remove(version)
        return folder.open(version)

    monkeypatch.setattr(BodyFolder, "open", late)

    assert await read(bucket, "k") == b"new"


async def test_a_full_disk_is_an_internal_error_and_stores_nothing(
    bucket: EmbeddedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An OSError while writing becomes R2Error 10001 with its cause, and no file stays.
    """

    def full(handle: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("r2.bodies.os.write", full)
        with pytest.raises(R2Error, match=r"put: .* \(10001\)") as caught:
            await bucket.put("k", BIG)

    assert isinstance(caught.value.__cause__, OSError)
    assert await bucket.head("k") is None
    await bucket.close()
    assert files(tmp_path) == []


async def test_files_are_written_in_threads(
    bucket: EmbeddedBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    No write, read or sync of a body and no commit runs in the event loop's thread.
    """
    used: set[str] = set()
    for name in ("write", "fsync", "pread", "open", "unlink", "rename"):
        original = getattr(os, name)

        def spy(*args: object, _original: object = original, **options: object) -> object:
            used.add(threading.current_thread().name)
            return _original(*args, **options)  # type: ignore[operator]

        monkeypatch.setattr(f"r2.bodies.os.{name}", spy)

    await bucket.put("k", BIG)
    await bucket.put("k", "small")
    await bucket.put("k", BIG)
    assert await read(bucket, "k") == BIG
    await bucket.delete("k")

    assert used
    assert "MainThread" not in used


async def test_a_stream_is_never_held_whole(
    bucket: EmbeddedBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While a stream comes in, no more than three chunks are taken ahead of the file.
    """
    written = 0
    ahead: list[int] = []
    original = BodyWriter.write

    def count(writer: BodyWriter, data: bytes) -> None:
        nonlocal written
        original(writer, data)
        written += len(data)

    async def source() -> AsyncIterator[bytes]:
        for i in range(64):
            ahead.append(i * 65_536 - written)
            yield bytes(65_536)

    monkeypatch.setattr(BodyWriter, "write", count)
    await bucket.put("k", FixedLengthStream(source(), 64 * 65_536))

    assert written == 64 * 65_536
    assert max(ahead) <= 3 * 256 * 1024


@pytest.fixture
def own_garbage() -> Iterator[None]:
    """Let the collector look only at what comes now: a long session's objects take it a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def open_files(directory: Path) -> list[str]:
    """Return the files under *directory* this process has open."""
    gc.collect()
    names = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            names.append(str(link.readlink()))
    return [name for name in names if name.startswith(f"{directory}/")]


@pytest.mark.usefixtures("own_garbage")
async def test_unread_bodies_let_go_of_their_files(bucket: EmbeddedBucket, tmp_path: Path) -> None:
    """
    A body nobody reads, or reads in part, costs no open file once it is forgotten.
    """
    await bucket.put("k", BIG)
    await read(bucket, "k")
    for cancel in [True, False] * 5:
        found = await bucket.get("k")
        assert isinstance(found, R2ObjectBody)
        assert len(open_files(tmp_path / "bodies")) == 1
        if cancel:
            found.body.cancel()
        else:
            await anext(aiter(found.body))
        del found

        # A thread may still be reading ahead.
        await until(lambda: open_files(tmp_path / "bodies") == [])


async def test_closing_ends_threads_and_files(tmp_path: Path, clock: Clock) -> None:
    """
    After close no file, connection or thread of the bucket is left; calls are refused.
    """
    bucket = await reopen(tmp_path, clock, 1)
    await asyncio.gather(*(bucket.put(f"{i}", BIG) for i in range(10)))
    found = await bucket.get("1")
    await bucket.close()
    await bucket.close()

    assert isinstance(found, R2ObjectBody)
    with pytest.raises(RuntimeError, match="closed"):
        await found.text()
    with pytest.raises(RuntimeError, match="closed"):
        await bucket.head("1")
    assert open_files(tmp_path) == []
    assert [t.name for t in threading.enumerate() if t.name.startswith("r2")] == []


async def test_opening_waits_for_another_process_that_opens(tmp_path: Path, clock: Clock) -> None:
    """
    While one process holds the opening lock another waits, then opens.
    """
    lock = os.open(tmp_path / "open.lock", os.O_CREAT | os.O_WRONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    opening = asyncio.ensure_future(reopen(tmp_path, clock, 1))
    await asyncio.wait([opening], timeout=0.05)
    assert not opening.done()
    os.close(lock)

    await (await opening).close()


async def test_a_folder_that_is_no_bucket_fails_to_open(tmp_path: Path, clock: Clock) -> None:
    """
    A damaged ledger is an error at open, and leaves no file open.
    """
    (tmp_path / "ledger.sqlite").write_bytes(b"this is no database" * 100)

    with pytest.raises(Error):
        await reopen(tmp_path, clock, 1)

    assert open_files(tmp_path) == []


async def test_dice_that_repeat_do_not_overwrite(tmp_path: Path, clock: Clock) -> None:
    """
    A version that is taken is never used again: the put fails, the object stays.
    """
    bucket = await open_bucket(tmp_path, clock=clock, random_bytes=bytes)
    await bucket.put("k", "first")

    with pytest.raises(R2Error, match="10001"):
        await bucket.put("k", "second")

    assert await read(bucket, "k") == b"first"
    await bucket.close()
