"""
R2 in a folder: `ledger.sqlite` holds the rows, `bodies/` one file per object.

A put writes its body to `incoming/`, makes it durable, moves it to `bodies/`, commits
the row and, within a second, removes the body it replaced: a crash at any point leaves
the old object or the new one, and at worst a file without a row, which the sweep at the
next open takes away. A power cut may besides take back the puts and deletes of the last
seconds, each as a whole. Several processes may have the folder open. Needs POSIX locks.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from d1_schema.sqlite.engine import Error
from r2 import ledger as rows
from r2.bodies import BodyFolder, BodyReader, BodyWriter
from r2.checksums import Digester, R2Checksums, StatedChecksum
from r2.conditions import Condition
from r2.contract import ObjectMetadata, R2Bucket
from r2.errors import INTERNAL, R2BodyLost, refusal
from r2.ledger import Ledger, Row
from r2.limits import WHOLE_BYTES
from r2.listing import ListQuery
from r2.multipart import VERB as COMPLETE
from r2.multipart import StoredPart
from r2.objects import R2Object, R2ObjectBody, R2Objects, R2UploadedPart
from r2.ranges import R2Range, RangeRequest
from r2.removal import Removal, SweepReport, sweep
from r2.streaming import FileSource, Receiver, Run
from r2.streams import BodySource, BodyStream, IncomingBody, MemorySource
from r2.uploads import Uploads

# For files and SQLite. A put keeps one busy while the disk syncs: a few more than cores.
_THREADS = 8

P = ParamSpec("P")
T = TypeVar("T")


class EmbeddedBucket(R2Bucket):
    """A bucket in a folder. Made by `open_bucket`."""

    def __init__(
        self,
        folder: BodyFolder,
        ledger: Ledger,
        pool: ThreadPoolExecutor,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """Own *folder*, *ledger* and *pool*: all three end with `close`."""
        self._folder = folder
        self._ledger = ledger
        self._pool = pool
        self._removal = Removal(folder, ledger, pool)
        self._uploads = Uploads(folder, ledger, self._removal)
        self._clock = clock
        self._random_bytes = random_bytes
        self._storing = ThreadPoolExecutor(_THREADS, thread_name_prefix="r2-store")
        self._readers: weakref.WeakSet[BodyReader] = weakref.WeakSet()
        self._closed = False

    async def close(self) -> None:
        """Finish running work, then close files, those of unread bodies too."""
        if self._closed:
            return
        self._closed = True
        self._removal.stop()
        await asyncio.to_thread(self._pool.shutdown)
        self._storing.shutdown()
        await asyncio.to_thread(self._removal.run)
        for reader in list(self._readers):
            reader.close()
        self._ledger.close()
        self._folder.close()

    async def sweep(self) -> SweepReport:
        """Remove orphan files and uploads left open for more than 7 days; say how many."""
        await self._run("sweep", self._removal.run)
        return await self._run("sweep", sweep, self._folder, self._ledger, self._now())

    async def _run(self, verb: str, step: Callable[P, T], /, *args: P.args, **kw: P.kwargs) -> T:
        """Return what *step* returns in a thread; a failing disk becomes 10001 of *verb*."""
        if self._closed:
            raise RuntimeError("The bucket is closed.")
        try:
            return await asyncio.wrap_future(self._pool.submit(step, *args, **kw))
        except (OSError, Error) as error:
            raise refusal(verb, INTERNAL) from error
        finally:
            self._removal.schedule()

    def _runner(self, verb: str) -> Run:
        async def run(step: Callable[..., Any], /, *args: Any) -> Any:
            return await self._run(verb, step, *args)

        return run

    def _now(self) -> int:
        return int(self._clock() * 1000)

    # -- reading -------------------------------------------------------------------------

    async def _head(self, key: str) -> R2Object | None:
        return await self._run("head", self._look, key.encode())

    def _look(self, key: bytes) -> R2Object | None:
        found = self._opened("head", key)
        if found is None:
            return None
        row, handle = found
        os.close(handle)
        return rows.to_object(row, R2Range(0, row[2]))

    async def _get(
        self, key: str, condition: Condition | None, wanted: RangeRequest | None
    ) -> R2ObjectBody | R2Object | None:
        return await self._run("get", self._open_object, key.encode(), condition, wanted)

    def _open_object(
        self, key: bytes, condition: Condition | None, wanted: RangeRequest | None
    ) -> R2ObjectBody | R2Object | None:
        found = self._opened("get", key)
        if found is None:
            return None
        row, handle = found
        with ExitStack() as opened:
            opened.callback(os.close, handle)
            if condition is not None and not condition.holds(row[3], row[4]):
                return rows.to_object(row, R2Range(0, row[2]))
            span = R2Range(0, row[2]) if wanted is None else wanted.resolve(row[2])
            opened.pop_all()
        return self._with_body(row, span, handle)

    def _opened(self, verb: str, key: bytes) -> tuple[Row, int] | None:
        """Return the row of *key* and a handle on its body; raises `R2BodyLost` unless whole."""
        tried = ""
        while (row := self._ledger.find(key)) is not None:
            try:
                handle = self._folder.open(row[1])
            except FileNotFoundError:
                # Overwritten or deleted since: look again. Twice the same version
                # means the file is truly gone.
                if row[1] == tried:
                    raise R2BodyLost(verb) from None
                tried = row[1]
                continue
            if os.fstat(handle).st_size == row[2]:
                return row, handle
            os.close(handle)
            raise R2BodyLost(verb)
        return None

    def _with_body(self, row: Row, span: R2Range, handle: int) -> R2ObjectBody:
        reader = BodyReader(handle, span.offset, span.length)
        source: BodySource
        if span.length <= WHOLE_BYTES:
            # Read it here: another hop to a thread costs more than 1 MB of reading.
            source = MemorySource(reader.read_all())
            reader.close()
        else:
            self._readers.add(reader)
            source = FileSource(self._runner("get"), reader)
        body = BodyStream(source, span.length)
        return R2ObjectBody(**rows.object_fields(row), range=span, body=body)

    async def _list(self, query: ListQuery) -> R2Objects:
        page = await self._run("list", self._ledger.page, query)
        prefixes = [group.decode() for group in page.groups]
        return R2Objects(page.rows, page.cursor is not None, page.cursor, prefixes)

    # -- writing -------------------------------------------------------------------------

    async def _put(
        self,
        key: str,
        body: IncomingBody,
        metadata: ObjectMetadata,
        condition: Condition | None,
        stated: StatedChecksum | None,
    ) -> R2Object | None:
        with self._writer() as writer:
            receiver = Receiver(self._runner("put"), self._storing, writer)
            columns = rows.metadata_columns(metadata)
            commit = partial(
                self._commit_object, key.encode(), body.length, columns, condition, writer
            )
            return await receiver.receive(body, Digester(stated), commit)

    def _commit_object(
        self,
        key: bytes,
        size: int,
        metadata: tuple[str, str],
        condition: Condition | None,
        writer: BodyWriter,
        checksums: R2Checksums,
    ) -> R2Object | None:
        etag, digests = (checksums.md5 or b"").hex(), rows.dump(checksums.to_json())
        with self._ledger.write() as connection:
            old = rows.find(connection, key)
            if condition is not None:
                known = (None, 0) if old is None else (old[3], old[4])
                if not condition.holds(*known):
                    return None
            row = (key, writer.version, size, etag, self._now(), digests, *metadata)
            rows.replace(connection, row)
        if old is not None:
            self._removal.add([old[1]])
        return rows.to_object(row)

    async def _delete(self, keys: Sequence[str]) -> None:
        await self._run("delete", self._delete_rows, [key.encode() for key in keys])

    def _delete_rows(self, keys: Sequence[bytes]) -> None:
        with self._ledger.write() as connection:
            versions = rows.delete(connection, keys)
        self._removal.add(versions)

    @contextmanager
    def _writer(self) -> Iterator[BodyWriter]:
        """A writer that is discarded, in a thread, unless it was committed."""
        writer = BodyWriter(self._folder)
        try:
            yield writer
        finally:
            if not writer.ended:
                try:
                    self._pool.submit(writer.discard)
                except RuntimeError:
                    # Closed meanwhile: no thread is left, and nothing runs either.
                    writer.discard()

    # -- uploads in parts ----------------------------------------------------------------

    async def _create_upload(self, key: str, metadata: ObjectMetadata) -> str:
        upload_id = self._random_bytes(32).hex()
        args = (upload_id, key.encode(), self._now(), metadata)
        await self._run("createMultipartUpload", self._uploads.create, *args)
        return upload_id

    async def _upload_part(
        self, key: str, upload_id: str, number: int, body: IncomingBody
    ) -> R2UploadedPart:
        with self._writer() as writer:
            receiver = Receiver(self._runner("uploadPart"), self._storing, writer)

            def commit(checksums: R2Checksums) -> StoredPart:
                md5 = (checksums.md5 or b"").hex()
                part = StoredPart(number, md5, md5, body.length, writer.version)
                return self._uploads.store_part(key.encode(), upload_id, part)

            part = await receiver.receive(body, Digester(), commit)
            assert part is not None
            return R2UploadedPart(number, part.etag)

    async def _complete_upload(
        self, key: str, upload_id: str, parts: Sequence[R2UploadedPart]
    ) -> R2Object:
        args = (key.encode(), upload_id, parts, self._now())
        return await self._run(COMPLETE, self._uploads.complete, *args)

    async def _abort_upload(self, key: str, upload_id: str) -> None:
        await self._run("abortMultipartUpload", self._uploads.abort, key.encode(), upload_id)


async def open_bucket(
    directory: Path,
    *,
    clock: Callable[[], float],
    random_bytes: Callable[[int], bytes],
) -> EmbeddedBucket:
    """
    Open the bucket in *directory*, creating what is missing, and sweep it.

    *clock* tells seconds since the epoch; *random_bytes* names bodies and uploads and
    must not repeat itself. Raises OSError or Error when the folder is unusable.
    """
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="r2")
    opening = partial(_open_files, directory, random_bytes, int(clock() * 1000))
    try:
        folder, ledger = await asyncio.wrap_future(pool.submit(opening))
    except BaseException:
        pool.shutdown(wait=False)
        raise
    return EmbeddedBucket(folder, ledger, pool, clock, random_bytes)


def _open_files(
    directory: Path, random_bytes: Callable[[int], bytes], now: int
) -> tuple[BodyFolder, Ledger]:
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        # One process at a time: two that create the same SQLite file trip over each other.
        lock = os.open(directory / "open.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        undo.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = BodyFolder(directory, random_bytes)
        undo.callback(folder.close)
        ledger = Ledger(directory / "ledger.sqlite")
        undo.callback(ledger.close)
        ledger.create()
        sweep(folder, ledger, now)
        undo.pop_all()
        os.close(lock)
        return folder, ledger
