"""
R2 at the edge: Cloudflare's own bucket behind the contract.

The contract hands over checked arguments; here they become R2's option bags, and what R2 answers
becomes the contract's objects. Bodies stream both ways. Cursors are R2's own, wrapped, because the
contract reads a cursor before an adapter sees it.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from r2.checksums import R2Checksums, StatedChecksum
from r2.conditions import Condition, EtagRule
from r2.contract import ObjectMetadata, R2Bucket
from r2.errors import INTERNAL, R2Error
from r2.headers import from_milliseconds
from r2.listing import ListQuery, encode_cursor
from r2.objects import R2HttpMetadata, R2Object, R2ObjectBody, R2Objects, R2UploadedPart
from r2.ranges import R2Range, RangeRequest
from r2.streams import BodySource, BodyStream, IncomingBody
from worker import interop
from worker.interop import JsError

_REFUSAL = re.compile(r"(\w+): (.*) \((\d+)\)", re.DOTALL)
# Marks the place of the body among the arguments of a call.
_BODY = object()
_HTTP_NAMES = {
    "content_type": "contentType",
    "content_language": "contentLanguage",
    "content_disposition": "contentDisposition",
    "content_encoding": "contentEncoding",
    "cache_control": "cacheControl",
}


class EdgeBucket(R2Bucket):
    """An R2 binding. *bucket* is the raw JavaScript object."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    async def close(self) -> None:
        """Nothing to close: the runtime owns the binding."""

    async def _head(self, key: str) -> R2Object | None:
        found = await _call("head", self._bucket, "head", key)
        return None if found is None else _object(found, whole=True)

    async def _get(
        self, key: str, condition: Condition | None, wanted: RangeRequest | None
    ) -> R2ObjectBody | R2Object | None:
        options = interop.plain_object(onlyIf=_only_if(condition), range=_range(wanted))
        found = await _call("get", self._bucket, "get", key, options)
        if found is None:
            return None
        plain = _object(found, whole=True)
        if interop.member(found, "body") is None:
            return plain
        fields = {name: getattr(plain, name) for name in R2Object.__slots__}
        assert plain.range is not None
        return R2ObjectBody(**fields, body=BodyStream(_JsBody(found), plain.range.length))

    async def _put(
        self,
        key: str,
        body: IncomingBody,
        metadata: ObjectMetadata,
        condition: Condition | None,
        stated: StatedChecksum | None,
    ) -> R2Object | None:
        options = interop.plain_object(onlyIf=_only_if(condition), **_metadata(metadata))
        if stated is not None:
            setattr(options, stated.algorithm, stated.digest.hex())
        found = await _send("put", body, self._bucket, "put", key, _BODY, options)
        return None if found is None else _object(found, whole=False)

    async def _delete(self, keys: Sequence[str]) -> None:
        await _call("delete", self._bucket, "delete", interop.array(keys))

    async def _list(self, query: ListQuery) -> R2Objects:
        include = [
            name
            for name, asked in (
                ("httpMetadata", query.http_metadata),
                ("customMetadata", query.custom_metadata),
            )
            if asked
        ]
        options = interop.plain_object(
            limit=query.limit,
            prefix=_text(query.prefix),
            delimiter=_text(query.delimiter),
            startAfter=_text(query.start_after),
            cursor=_text(query.cursor),
            # Left out, an old runtime would include everything.
            include=interop.array(include),
        )
        page = await _call("list", self._bucket, "list", options)
        cursor = interop.member(page, "cursor")
        return R2Objects(
            objects=[_object(found, whole=False) for found in page.objects],
            truncated=bool(page.truncated),
            cursor=encode_cursor(cursor.encode()) if page.truncated and cursor else None,
            delimited_prefixes=[str(prefix) for prefix in page.delimitedPrefixes],
        )

    async def _create_upload(self, key: str, metadata: ObjectMetadata) -> str:
        verb = "createMultipartUpload"
        options = interop.plain_object(**_metadata(metadata))
        return str((await _call(verb, self._bucket, verb, key, options)).uploadId)

    async def _upload_part(
        self, key: str, upload_id: str, number: int, body: IncomingBody
    ) -> R2UploadedPart:
        upload = self._bucket.resumeMultipartUpload(key, upload_id)
        part = await _send("uploadPart", body, upload, "uploadPart", number, _BODY)
        return R2UploadedPart(int(part.partNumber), str(part.etag))

    async def _complete_upload(
        self, key: str, upload_id: str, parts: Sequence[R2UploadedPart]
    ) -> R2Object:
        chosen = [interop.plain_object(partNumber=p.part_number, etag=p.etag) for p in parts]
        upload = self._bucket.resumeMultipartUpload(key, upload_id)
        verb = "completeMultipartUpload"
        return _object(await _call(verb, upload, "complete", interop.array(chosen)), whole=False)

    async def _abort_upload(self, key: str, upload_id: str) -> None:
        upload = self._bucket.resumeMultipartUpload(key, upload_id)
        await _call("abortMultipartUpload", upload, "abort")


class _JsBody(BodySource):
    """The body of an R2ObjectBody of JavaScript."""

    def __init__(self, found: Any) -> None:
        self._found = found
        self._reader: interop.StreamReader | None = None

    async def next_chunk(self) -> bytes:
        if self._reader is None:
            self._reader = interop.StreamReader(self._found.body)
        try:
            return await self._reader.read()
        except JsError as error:
            raise _translated("get", error) from None

    async def read_all(self) -> bytes:
        return interop.to_bytes(await _call("get", self._found, "arrayBuffer"))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        elif not self._found.bodyUsed:
            interop.StreamReader(self._found.body).cancel()


async def _call(verb: str, owner: Any, method: str, *arguments: Any) -> Any:
    try:
        return await interop.call(owner, method, *arguments)
    except JsError as error:
        raise _translated(verb, error) from None


async def _send(verb: str, body: IncomingBody, owner: Any, method: str, *arguments: Any) -> Any:
    """Call *method* with the body in place of the argument `_BODY`."""
    pumps: list[asyncio.Future[None]] = []
    if body.data is not None:
        value = interop.buffer(body.data)
    else:
        value = interop.stream_of(
            body.chunks(), lambda work: pumps.append(asyncio.ensure_future(work)), body.length
        )
    sent = [value if argument is _BODY else argument for argument in arguments]
    try:
        return await _call(verb, owner, method, *sent)
    finally:
        # A source that failed is why R2 saw a broken stream: its error is the one to tell.
        for pump in pumps:
            await pump


def _translated(verb: str, error: JsError) -> Exception:
    """Return what the contract promises for a JavaScript exception of R2."""
    refused = _REFUSAL.fullmatch(str(error))
    if refused:
        return R2Error(refused[1], refused[2], int(refused[3]))
    if error.name in ("TypeError", "RangeError"):
        return (TypeError if error.name == "TypeError" else ValueError)(str(error))
    return R2Error(verb, str(error), INTERNAL)


def _only_if(condition: Condition | None) -> Any:
    """Return onlyIf: an option bag, or Headers where a rule names several or weak etags."""
    if condition is None:
        return None
    rules = (condition.etag_matches, condition.etag_does_not_match)
    before, after = condition.uploaded_before, condition.uploaded_after
    if all(rule is None or _single(rule) is not None for rule in rules):
        matches, does_not_match = (None if rule is None else _single(rule) for rule in rules)
        return interop.plain_object(
            etagMatches=matches,
            etagDoesNotMatch=does_not_match,
            uploadedBefore=None if before is None else interop.date(from_milliseconds(before)),
            uploadedAfter=None if after is None else interop.date(from_milliseconds(after)),
            secondsGranularity=condition.seconds_granularity or None,
        )
    headers = interop.construct("Headers")
    for name, rule in zip(("If-Match", "If-None-Match"), rules, strict=True):
        if rule is not None:
            headers.set(name, _header(rule))
    for name, moment in (("If-Unmodified-Since", before), ("If-Modified-Since", after)):
        if moment is not None:
            headers.set(name, format_datetime(from_milliseconds(moment), usegmt=True))
    return headers


def _single(rule: EtagRule) -> str | None:
    if rule.any_etag:
        return "*"
    return next(iter(rule.strong)) if len(rule.strong) == 1 and not rule.weak else None


def _header(rule: EtagRule) -> str:
    strong = [f'"{etag}"' for etag in sorted(rule.strong)]
    weak = [f'W/"{etag}"' for etag in sorted(rule.weak)]
    return "*" if rule.any_etag else ", ".join(strong + weak)


def _range(wanted: RangeRequest | None) -> Any:
    """Return range: an option bag, or Headers where what cannot be satisfied is ignored."""
    if wanted is None:
        return None
    offset, length, suffix = wanted.offset, wanted.length, wanted.suffix
    if not wanted.lenient:
        return interop.plain_object(offset=offset, length=length, suffix=suffix)
    first = "" if suffix is not None else offset or 0
    last: int | str = "" if length is None else (offset or 0) + length - 1
    headers = interop.construct("Headers")
    headers.set("Range", f"bytes={first}-{last if suffix is None else suffix}")
    return headers


def _metadata(metadata: ObjectMetadata) -> dict[str, Any]:
    http, expiry = metadata.http, metadata.http.cache_expiry
    fields = {name: getattr(http, ours) for ours, name in _HTTP_NAMES.items()}
    fields["cacheExpiry"] = None if expiry is None else interop.date(expiry)
    return {
        "httpMetadata": interop.plain_object(**fields),
        "customMetadata": interop.plain_object(**metadata.custom),
        "storageClass": metadata.storage_class,
    }


def _object(found: Any, *, whole: bool) -> R2Object:
    """Return the contract's object; *whole*: an answer that says which bytes it covers."""
    size = int(found.size)
    shown = interop.to_json(interop.member(found, "range")) or {}
    covered = R2Range(int(shown.get("offset", 0)), int(shown.get("length", size)))
    http = interop.member(found, "httpMetadata")
    checksums = interop.to_json(interop.member(found, "checksums")) or {}
    return R2Object(
        key=str(found.key),
        version=str(found.version),
        size=size,
        etag=str(found.etag),
        uploaded=interop.to_datetime(found.uploaded),
        checksums=R2Checksums.from_json(checksums),
        http_metadata=_http_metadata(http),
        custom_metadata=interop.to_json(interop.member(found, "customMetadata")) or {},
        range=covered if whole else None,
        storage_class=str(interop.member(found, "storageClass") or ""),
    )


def _http_metadata(http: Any) -> R2HttpMetadata:
    if http is None:
        return R2HttpMetadata()
    expiry: datetime | None = None
    if (moment := interop.member(http, "cacheExpiry")) is not None:
        expiry = interop.to_datetime(moment)
    fields = {ours: interop.member(http, name) for ours, name in _HTTP_NAMES.items()}
    return R2HttpMetadata(**fields, cache_expiry=expiry)


def _text(data: bytes | None) -> str | None:
    return data.decode("utf-8", "replace") if data else None
