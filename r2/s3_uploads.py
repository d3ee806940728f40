"""
Uploads in parts: large bodies of a put, and R2's own multipart uploads, on S3's.

What R2 shows of an object is known when its body has been read, S3 wants it before: it is
written as a sidecar just before the upload completes, so that an object is never visible
without it. An upload that fails is aborted and nothing of it was visible.

R2 tells an upload that has ended from one that never was, and S3 does not: each upload has
a record below `UPLOADS`, named by its id, which stays when it ends and is swept with age.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from r2.checksums import Digester, R2Checksums
from r2.conditions import Condition
from r2.errors import INTERNAL, NO_SUCH_UPLOAD, refusal
from r2.multipart import VERB as COMPLETE
from r2.multipart import StoredPart, choose_parts, multipart_etag
from r2.objects import ObjectMetadata, R2HttpMetadata, R2Object, R2UploadedPart
from r2.s3_metadata import UPLOADS, Facts, headers_with_sidecar
from r2.s3_objects import S3Objects
from r2.s3_pieces import PIECE_BYTES, Budget, Piece, pieces
from r2.s3_wire import Headers, Refused, Unreachable, Wire
from r2.streams import IncomingBody

# Parts of one body on their way at once.
_IN_FLIGHT: Final = 3
_UPLOAD_ID = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


class Parts:
    """The parts of one large body, sent while it is read; a context that aborts what fails."""

    def __init__(self, wire: Wire, objects: S3Objects, key: str, headers: Headers) -> None:
        """Upload to *key*; the object will have *headers*."""
        self._wire = wire
        self._objects = objects
        self._key = key
        self._headers = headers
        self._done: list[StoredPart] = []
        self._running: deque[tuple[Future[StoredPart], int]] = deque()
        self._hashing: Future[None] | None = None
        self._created: Future[str] | None = None
        self._kept = False

    async def __aenter__(self) -> Parts:
        """Begin the upload."""
        step = self._objects.create_upload
        self._created = self._wire.submit(step, self._key, self._headers)
        await self._wire.wait("put", self._created)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Abort the upload, in the background, unless it became an object."""
        if not self._kept and self._created is not None:
            self._created.add_done_callback(self._abort)

    def _abort(self, created: Future[str]) -> None:
        with contextlib.suppress(Exception):
            self._wire.submit(self._objects.abort, self._key, created.result())

    @property
    def _upload(self) -> str:
        assert self._created is not None
        return self._created.result()

    async def send_stream(self, body: IncomingBody, digester: Digester, budget: Budget) -> None:
        """Send a stream as it comes; what is known of it at the end is in *digester*."""

        async def write(step: Any, chunk: memoryview) -> object:
            return await self._wire.run("put", step, chunk)

        async with aclosing(pieces(body, PIECE_BYTES, budget, write)) as taken:  # type: ignore[type-var]
            async for piece in taken:
                await self._send_piece(piece, digester)
        await self._drain(0)
        if self._hashing is not None:
            await self._wire.wait("put", self._hashing)

    async def send_data(self, data: bytes) -> None:
        """Send bytes that are here already."""
        whole = memoryview(data)
        for begin in range(0, len(whole), PIECE_BYTES):
            await self._begin(whole[begin : begin + PIECE_BYTES])
        await self._drain(0)

    async def _send_piece(self, piece: Piece, digester: Digester) -> None:
        users: list[Future[Any]] = []
        try:
            if self._hashing is not None:
                await self._wire.wait("put", self._hashing)
            view = piece.view()
            self._hashing = self._wire.submit(digester.update, view)
            users.append(self._hashing)
            users.append(await self._begin(view))
        finally:
            _when_all_end(users, piece)

    async def _begin(self, view: memoryview) -> Future[StoredPart]:
        await self._drain(_IN_FLIGHT - 1)
        number = len(self._done) + len(self._running) + 1
        future = self._wire.submit(self._send, number, view)
        self._running.append((future, len(view)))
        return future

    def _send(self, number: int, view: memoryview) -> StoredPart:
        with _still_open():
            return self._objects.send_part(self._key, self._upload, number, view)

    async def _drain(self, left: int) -> None:
        while len(self._running) > left:
            future, size = self._running.popleft()
            self._done.append(await self._wire.wait("put", future, size))

    def finish(self, facts: Facts, condition: Condition | None, *, sidecar: bool) -> bool:
        """Make the object, in a thread; False when *condition* does not hold."""
        if sidecar:
            self._objects.write_sidecar(self._key, facts)
        with _still_open():
            self._kept = self._objects.complete(
                self._key, self._upload, self._done, facts.version, condition
            )
        return self._kept


@contextlib.contextmanager
def _still_open() -> Iterator[None]:
    """Call it a failure of the server when an upload of ours is not there any more."""
    try:
        yield
    except Refused as refused:
        if refused.status == 404:
            raise Unreachable("it has lost an upload") from None
        raise


def _when_all_end(users: Sequence[Future[Any]], piece: Piece) -> None:
    """Release *piece*, on the event loop, when no thread reads it any more."""
    loop = asyncio.get_running_loop()
    left = len(users)
    if not left:
        piece.release()

    def end() -> None:
        nonlocal left
        left -= 1
        if not left:
            piece.release()

    def tell(_: Future[Any]) -> None:
        # The loop may have ended meanwhile; so has the budget then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(end)

    for user in users:
        user.add_done_callback(tell)


@dataclass(frozen=True, slots=True)
class Record:
    """An upload of R2's kind: S3's id of it, and what its object will be."""

    key: str
    upload: str
    version: str
    metadata: ObjectMetadata


class Uploads:
    """R2's uploads in parts. Everything here blocks."""

    def __init__(self, wire: Wire, objects: S3Objects) -> None:
        """Speak through *wire*."""
        self._wire = wire
        self._objects = objects
        self._records: dict[str, Record] = {}

    def create(self, upload_id: str, key: str, version: str, metadata: ObjectMetadata) -> None:
        """Begin an upload and keep its record."""
        headers = headers_with_sidecar(version, metadata)
        upload = self._objects.create_upload(key, headers)
        fields = {
            "key": key,
            "upload": upload,
            "version": version,
            "http": metadata.http.to_json(),
            "custom": metadata.custom,
        }
        self._wire.request("PUT", UPLOADS + upload_id, body=json.dumps(fields).encode())

    def _record(self, key: str, upload_id: str) -> Record | None:
        """Return the record of an upload of *key*."""
        record = self._records.get(upload_id)
        if record is None and _UPLOAD_ID.fullmatch(upload_id):
            try:
                fields = json.loads(self._wire.request("GET", UPLOADS + upload_id).data)
            except Refused as refused:
                if refused.status == 404:
                    return None
                raise
            http = R2HttpMetadata.from_json(fields["http"])
            metadata = ObjectMetadata(http, fields["custom"])
            record = Record(fields["key"], fields["upload"], fields["version"], metadata)
            if len(self._records) >= 1000:
                self._records.clear()
            self._records[upload_id] = record
        return record if record is not None and record.key == key else None

    def send_part(
        self, key: str, upload_id: str, number: int, data: bytes | memoryview
    ) -> R2UploadedPart:
        """Store a part; R2Error 10024 unless the upload of *key* is open."""
        record = self._record(key, upload_id)
        if record is None:
            raise refusal("uploadPart", NO_SUCH_UPLOAD)
        try:
            part = self._objects.send_part(key, record.upload, number, data)
        except Refused as refused:
            # Not every server has the same answer for an upload that has ended: ask.
            if refused.status == 404 or self._objects.has_ended(key, record.upload):
                raise refusal("uploadPart", NO_SUCH_UPLOAD) from None
            raise
        return R2UploadedPart(number, part.etag)

    def complete(
        self, key: str, upload_id: str, chosen: Sequence[R2UploadedPart], now: int
    ) -> R2Object:
        """Make the object; R2Error as `choose_parts`, 10001 unknown, 10024 ended."""
        record = self._record(key, upload_id)
        if record is None:
            raise refusal(COMPLETE, INTERNAL)
        try:
            parts = choose_parts(chosen, self._objects.parts(key, record.upload))
            etag = _etag(parts)
            facts = Facts(
                *(record.version, now, etag, R2Checksums()),
                *(record.metadata.http, record.metadata.custom),
            )
            if parts:
                self._objects.write_sidecar(key, facts)
                self._objects.complete(key, record.upload, parts, record.version, None)
            else:
                # S3 makes no object of no parts.
                self._objects.put(key, b"", facts, None)
                self._objects.abort(key, record.upload)
        except Refused as refused:
            if refused.status != 404:
                raise
            raise refusal(COMPLETE, NO_SUCH_UPLOAD) from None
        return facts.to_object(key, sum(part.size for part in parts))

    def abort(self, key: str, upload_id: str) -> None:
        """Drop an upload; R2Error 10001 when it never was, nothing when it has ended."""
        record = self._record(key, upload_id)
        if record is None:
            raise refusal("abortMultipartUpload", INTERNAL)
        self._objects.abort(key, record.upload)


def _etag(parts: Sequence[StoredPart]) -> str:
    """Return R2's etag; where the server's etags are no MD5 (encryption), one of their own."""
    if all(_MD5.fullmatch(part.md5) for part in parts):
        return multipart_etag(parts)
    digest = hashlib.md5("".join(part.md5 for part in parts).encode(), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(parts)}"
