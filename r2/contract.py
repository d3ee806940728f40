"""
What every bucket promises: Cloudflare's R2 binding in Python.

Names are snake_case, options are keywords, undefined is None, ArrayBuffer is bytes.
The public methods check every argument here and then call one abstract method each,
so that a wrong call fails alike in every adapter. The rules behind them are plain
functions beside this file: conditions, ranges, checksums, listing, multipart, limits.

Promised: reads see the last completed write (R2 is strongly consistent); a write is
durable and visible as a whole when it returns, or not at all; a body that was got keeps
its bytes while the object is overwritten or deleted. Not promised: order between writes
of one key that overlap, and the order in which concurrent deletes remove several keys.

Errors: R2Error (the bucket refuses), TypeError (a wrong argument), ValueError
(JavaScript's RangeError, and a malformed etag header). A condition that does not hold
is no error: put returns None, get returns the object without a body.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from r2.checksums import R2Checksums, StatedChecksum, parse_checksum
from r2.conditions import Condition, parse_condition
from r2.errors import R2BodyLost, R2Error, R2Unavailable
from r2.limits import (
    check_body_size,
    check_custom_metadata,
    check_key,
    check_keys,
    check_part_number,
    check_storage_class,
)
from r2.listing import ListQuery, parse_list
from r2.multipart import parse_parts
from r2.objects import (
    ObjectMetadata,
    R2HttpMetadata,
    R2Object,
    R2ObjectBody,
    R2Objects,
    R2UploadedPart,
    parse_http_metadata,
)
from r2.ranges import R2Range, RangeRequest, parse_range
from r2.streams import (
    BodyStream,
    BodyValue,
    FixedLengthStream,
    IncomingBody,
    KnownLengthStream,
    check_body,
)

__all__ = [
    "BodyStream",
    "BodyValue",
    "FixedLengthStream",
    "KnownLengthStream",
    "ObjectMetadata",
    "R2BodyLost",
    "R2Bucket",
    "R2Checksums",
    "R2Error",
    "R2HttpMetadata",
    "R2MultipartUpload",
    "R2Object",
    "R2ObjectBody",
    "R2Objects",
    "R2Range",
    "R2Unavailable",
    "R2UploadedPart",
]

Digest = str | bytes | bytearray | memoryview


def _metadata(
    verb: str,
    http: Mapping[str, Any] | R2HttpMetadata | None,
    custom: Mapping[str, Any] | None,
    storage_class: str | None,
) -> ObjectMetadata:
    return ObjectMetadata(
        parse_http_metadata(http),
        check_custom_metadata(verb, custom),
        check_storage_class(storage_class),
    )


class R2MultipartUpload:
    """An upload in parts; invisible until it is complete."""

    def __init__(
        self,
        key: str,
        upload_id: str,
        upload_part: Callable[[str, str, int, IncomingBody], Awaitable[R2UploadedPart]],
        complete: Callable[[str, str, Sequence[R2UploadedPart]], Awaitable[R2Object]],
        abort: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """Made by a bucket, which hands in its own steps."""
        self.key = key
        self.upload_id = upload_id
        self._upload_part = upload_part
        self._complete = complete
        self._abort = abort

    async def upload_part(self, part_number: int, value: BodyValue) -> R2UploadedPart:
        """
        Store part 1 to 10000; a second one of the same number replaces the first.

        Every part but the last has the same size, at least 5 MiB (checked at the end).
        Raises TypeError (number, body), R2Error 10024 (no such upload), 100100.
        """
        check_key("uploadPart", self.key)
        number = check_part_number(part_number)
        where = "Failed to execute 'uploadPart' on 'R2MultipartUpload'"
        body = check_body(where, value, optional=False)
        check_body_size("uploadPart", body.length)
        return await self._upload_part(self.key, self.upload_id, number, body)

    async def complete(self, parts: Iterable[R2UploadedPart | Mapping[str, Any]]) -> R2Object:
        """
        Make the object of *parts*, given in order of number, and return it.

        Raises R2Error 10025, 10011, 10048, 10024, 10001 (see `multipart.choose_parts`);
        the upload stays open then.
        """
        check_key("completeMultipartUpload", self.key)
        return await self._complete(self.key, self.upload_id, parse_parts(parts))

    async def abort(self) -> None:
        """Drop the upload and its parts. Repeatable; without effect after complete()."""
        check_key("abortMultipartUpload", self.key)
        await self._abort(self.key, self.upload_id)


class R2Bucket(ABC):
    """One bucket of objects."""

    async def head(self, key: str) -> R2Object | None:
        """Return the object of *key* without its body, None when there is none."""
        return await self._head(check_key("head", key))

    async def get(
        self,
        key: str,
        *,
        only_if: Mapping[str, Any] | None = None,
        range: Mapping[str, Any] | R2Range | None = None,
    ) -> R2ObjectBody | R2Object | None:
        """
        Return the object of *key* with its body, None when there is none.

        When *only_if* does not hold the result is a plain R2Object. *range* is
        {"offset", "length"}, {"suffix"} or headers with Range.
        Raises R2Error 10020, 10039, TypeError, ValueError.
        """
        check_key("get", key)
        return await self._get(key, parse_condition(only_if), parse_range(range))

    async def put(
        self,
        key: str,
        value: BodyValue,
        *,
        only_if: Mapping[str, Any] | None = None,
        http_metadata: Mapping[str, Any] | R2HttpMetadata | None = None,
        custom_metadata: Mapping[str, Any] | None = None,
        md5: Digest | None = None,
        sha1: Digest | None = None,
        sha256: Digest | None = None,
        sha384: Digest | None = None,
        sha512: Digest | None = None,
        storage_class: str | None = None,
    ) -> R2Object | None:
        """
        Store *value* under *key*, replacing object and metadata, and return the object.

        Returns None, and changes nothing, when *only_if* does not hold. None as *value*
        is an empty body; a stream must know its length (`FixedLengthStream`).
        Raises R2Error 10020, 10012, 10037, 100100, TypeError, ValueError.
        """
        check_key("put", key)
        stated = parse_checksum(
            {"md5": md5, "sha1": sha1, "sha256": sha256, "sha384": sha384, "sha512": sha512}
        )
        condition = parse_condition(only_if)
        metadata = _metadata("put", http_metadata, custom_metadata, storage_class)
        body = check_body("Failed to execute 'put' on 'R2Bucket'", value, optional=True)
        check_body_size("put", body.length)
        return await self._put(key, body, metadata, condition, stated)

    async def delete(self, keys: str | Iterable[str]) -> None:
        """Remove up to 1000 objects, missing ones too. Raises R2Error 10020, TypeError."""
        checked = check_keys(keys)
        if checked:
            await self._delete(checked)

    async def list(
        self,
        *,
        limit: int | None = None,
        prefix: str | None = None,
        cursor: str | None = None,
        delimiter: str | None = None,
        start_after: str | None = None,
        include: Iterable[str] | None = None,
    ) -> R2Objects:
        """
        Return a page of objects in the byte order of their keys.

        At most *limit* (1 to 1000) objects and delimited prefixes together; loop while
        `truncated`. *include* names metadata to fill in, which shortens pages.
        Raises R2Error 10022, TypeError, ValueError.
        """
        return await self._list(parse_list(limit, prefix, cursor, delimiter, start_after, include))

    async def create_multipart_upload(
        self,
        key: str,
        *,
        http_metadata: Mapping[str, Any] | R2HttpMetadata | None = None,
        custom_metadata: Mapping[str, Any] | None = None,
        storage_class: str | None = None,
    ) -> R2MultipartUpload:
        """
        Begin an upload in parts; the metadata given here becomes the object's.

        An upload neither completed nor aborted is dropped after 7 days.
        Raises R2Error 10020, 10012, TypeError.
        """
        verb = "createMultipartUpload"
        check_key(verb, key)
        metadata = _metadata(verb, http_metadata, custom_metadata, storage_class)
        return self.resume_multipart_upload(key, await self._create_upload(key, metadata))

    def resume_multipart_upload(self, key: str, upload_id: str) -> R2MultipartUpload:
        """Return an upload begun earlier. Nothing is checked until it is used, as in R2."""
        if not isinstance(key, str) or not isinstance(upload_id, str):
            raise TypeError("resume_multipart_upload takes a key and an upload id, both str.")
        return R2MultipartUpload(
            key, upload_id, self._upload_part, self._complete_upload, self._abort_upload
        )

    @abstractmethod
    async def close(self) -> None:
        """Finish what runs and let go of files and connections. Repeatable."""

    @abstractmethod
    async def _head(self, key: str) -> R2Object | None:
        """Return the object, its range being all of it; None when there is none."""

    @abstractmethod
    async def _get(
        self, key: str, condition: Condition | None, wanted: RangeRequest | None
    ) -> R2ObjectBody | R2Object | None:
        """Look up, judge *condition*, then resolve *wanted*, all of one version."""

    @abstractmethod
    async def _put(
        self,
        key: str,
        body: IncomingBody,
        metadata: ObjectMetadata,
        condition: Condition | None,
        stated: StatedChecksum | None,
    ) -> R2Object | None:
        """Store durably; judge *condition* in the same transaction as the replacement."""

    @abstractmethod
    async def _delete(self, keys: Sequence[str]) -> None:
        """Remove the objects there are."""

    @abstractmethod
    async def _list(self, query: ListQuery) -> R2Objects:
        """Return the page *query* asks for."""

    @abstractmethod
    async def _create_upload(self, key: str, metadata: ObjectMetadata) -> str:
        """Begin an upload and return its id."""

    @abstractmethod
    async def _upload_part(
        self, key: str, upload_id: str, number: int, body: IncomingBody
    ) -> R2UploadedPart:
        """Store a part; R2Error 10024 unless the upload of that key is open."""

    @abstractmethod
    async def _complete_upload(
        self, key: str, upload_id: str, parts: Sequence[R2UploadedPart]
    ) -> R2Object:
        """Make the object; R2Error 10001 unknown upload, 10024 one that has ended."""

    @abstractmethod
    async def _abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the upload; R2Error 10001 when it never was, nothing when it has ended."""
