"""
Uploads in parts, in the files and rows of an embedded bucket.

Every part is a body of its own; complete() copies them into one, so that an object is
always one file and a reader holds all of it with one handle. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from d1_schema.sqlite.engine import Connection
from r2 import ledger as rows
from r2.bodies import BodyFolder, BodyWriter
from r2.contract import ObjectMetadata
from r2.errors import INTERNAL, NO_SUCH_UPLOAD, refusal
from r2.ledger import Ledger, Upload
from r2.multipart import VERB as COMPLETE
from r2.multipart import StoredPart, choose_parts, multipart_etag
from r2.objects import R2Object, R2UploadedPart
from r2.removal import Removal

# How often complete() starts over when a part is replaced while it copies.
_TRIES = 3


class Uploads:
    """The uploads of one bucket."""

    def __init__(self, folder: BodyFolder, ledger: Ledger, removal: Removal) -> None:
        """Keep bodies in *folder*, rows in *ledger*; hand *removal* what is over."""
        self._folder = folder
        self._ledger = ledger
        self._removal = removal

    def create(self, upload_id: str, key: bytes, now: int, metadata: ObjectMetadata) -> None:
        """Insert an open upload; *now* in ms."""
        with self._ledger.write() as connection:
            rows.insert_upload(connection, upload_id, key, now, metadata)

    def store_part(self, key: bytes, upload_id: str, part: StoredPart) -> StoredPart:
        """Insert a published *part*; R2Error 10024 unless the upload of *key* is open."""
        with self._ledger.write() as connection:
            upload = rows.find_upload(connection, key, upload_id)
            if upload is None or upload.state != rows.OPEN:
                raise refusal("uploadPart", NO_SUCH_UPLOAD)
            replaced = rows.replace_part(connection, upload_id, part)
        if replaced is not None:
            self._removal.add([replaced])
        return part

    def complete(
        self, key: bytes, upload_id: str, chosen: Sequence[R2UploadedPart], now: int
    ) -> R2Object:
        """Make the object; R2Error as `choose_parts`, 10001 unknown, 10024 ended."""
        for tries_left in reversed(range(_TRIES)):
            writer = BodyWriter(self._folder)
            try:
                return self._assemble(writer, key, upload_id, chosen, now)
            except FileNotFoundError:
                if not tries_left:
                    raise
            finally:
                writer.discard()
        raise refusal(COMPLETE, INTERNAL)

    def _assemble(
        self,
        writer: BodyWriter,
        key: bytes,
        upload_id: str,
        chosen: Sequence[R2UploadedPart],
        now: int,
    ) -> R2Object:
        with self._ledger.read() as connection:
            _, parts = _choose(connection, key, upload_id, chosen)
        writer.begin()
        for part in parts:
            writer.append_body(part.version)
        writer.publish()
        commit = partial(self._commit, writer.version, key, upload_id, chosen, now)
        completed = writer.commit(commit)
        assert completed is not None
        return completed

    def _commit(
        self,
        version: str,
        key: bytes,
        upload_id: str,
        chosen: Sequence[R2UploadedPart],
        now: int,
    ) -> R2Object:
        with self._ledger.write() as connection:
            # Chosen again: an etag is the MD5 of its part, so what passes now has the
            # very bytes that were copied.
            upload, parts = _choose(connection, key, upload_id, chosen)
            size = sum(part.size for part in parts)
            metadata = (upload.http_metadata, upload.custom_metadata)
            row = (key, version, size, multipart_etag(parts), now, "{}", *metadata)
            old = rows.find(connection, key)
            rows.replace(connection, row)
            gone = rows.end_upload(connection, upload_id, rows.COMPLETED)
        self._removal.add(gone if old is None else [*gone, old[1]])
        return rows.to_object(row)

    def abort(self, key: bytes, upload_id: str) -> None:
        """Drop an open upload; R2Error 10001 when it is unknown, nothing when it ended."""
        with self._ledger.write() as connection:
            upload = rows.find_upload(connection, key, upload_id)
            if upload is None:
                raise refusal("abortMultipartUpload", INTERNAL)
            if upload.state != rows.OPEN:
                return
            gone = rows.end_upload(connection, upload_id, rows.ABORTED)
        self._removal.add(gone)


def _choose(
    connection: Connection,
    key: bytes,
    upload_id: str,
    chosen: Sequence[R2UploadedPart],
) -> tuple[Upload, list[StoredPart]]:
    upload = rows.find_upload(connection, key, upload_id)
    if upload is None:
        raise refusal(COMPLETE, INTERNAL)
    if upload.state != rows.OPEN:
        raise refusal(COMPLETE, NO_SUCH_UPLOAD)
    return upload, choose_parts(chosen, rows.find_parts(connection, upload_id))
