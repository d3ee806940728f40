"""
Objects on an S3 server as R2 has them: look up, store, replace under a condition, list parts.

Everything here blocks. A condition is judged on the object just seen, and the write then
names that object's etag (If-Match, If-None-Match): a server that honours these headers
refuses when another host was faster, and the judging starts over.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from r2.conditions import Condition
from r2.multipart import StoredPart
from r2.objects import ObjectMetadata, R2Object
from r2.ranges import R2Range
from r2.s3_metadata import (
    Facts,
    headers_with_facts,
    headers_with_sidecar,
    raw_etag,
    read_facts,
    read_version,
    sidecar_key,
)
from r2.s3_wire import Headers, Refused, Response, Unreachable, Wire
from r2.s3_xml import read_error, read_parts, read_text, write_parts

# How often a conditional write starts over when others are faster, or the server breaks off.
_ROUNDS: Final = 30
_BREAKS: Final = 3
_KEPT_SIDECARS: Final = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """An object there is: its size in bytes, S3's etag, R2's facts."""

    key: str
    size: int
    raw_etag: str
    facts: Facts

    def to_object(self, span: R2Range | None = None) -> R2Object:
        """Return the object whose answer covers *span*."""
        return self.facts.to_object(self.key, self.size, span)


class S3Objects:
    """The objects of one bucket."""

    def __init__(self, wire: Wire) -> None:
        """Speak through *wire*."""
        self._wire = wire
        self._kept: OrderedDict[str, Facts] = OrderedDict()
        self._guard = threading.Lock()
        # Whether the server knows If-Match and If-None-Match on writes (it may ignore them).
        self._sends_conditions = True

    def head(self, key: str) -> Found | None:
        """Return the object of *key*."""
        try:
            response = self._wire.request("HEAD", key)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return self.found(key, response.headers, int(response.headers.get("content-length", 0)))

    def open(self, key: str, headers: Headers) -> Response | None:
        """Begin to read an object; None when there is none, or not the one *headers* name."""
        try:
            return self._wire.request("GET", key, headers=headers, stream=True)
        except Refused as refused:
            if refused.status in (404, 412):
                return None
            raise

    def found(self, key: str, headers: Mapping[str, str], size: int) -> Found:
        """Return what the response *headers* say of *key*, the sidecar read where there is one."""
        version = read_version(headers)
        facts = None if version is None else self._sidecar(version)
        return Found(key, size, raw_etag(headers), facts or read_facts(headers, version))

    def _sidecar(self, version: str) -> Facts | None:
        with self._guard:
            if version in self._kept:
                self._kept.move_to_end(version)
                return self._kept[version]
        try:
            text = self._wire.request("GET", sidecar_key(version)).data
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        try:
            facts = Facts.from_json(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        self._keep(facts)
        return facts

    def _keep(self, facts: Facts) -> None:
        with self._guard:
            self._kept[facts.version] = facts
            while len(self._kept) > _KEPT_SIDECARS:
                self._kept.popitem(last=False)

    def write_sidecar(self, key: str, facts: Facts) -> None:
        """Store *facts*, to be read once an object of their version is there."""
        text = json.dumps({"key": key, **facts.to_json()}).encode()
        self._wire.request(
            "PUT",
            sidecar_key(facts.version),
            body=text,
            headers={"Content-Type": "application/json"},
        )
        self._keep(facts)

    def put(
        self,
        key: str,
        body: bytes | memoryview,
        facts: Facts,
        condition: Condition | None,
    ) -> R2Object | None:
        """Store *body* in one request; None when *condition* does not hold."""
        headers = self.headers_of(key, facts)

        def send(judged: Headers, once: bool) -> None:
            self._wire.request("PUT", key, headers={**headers, **judged}, body=body, once=once)

        stored = self.write(key, facts.version, condition, send)
        return facts.to_object(key, len(body)) if stored else None

    def headers_of(self, key: str, facts: Facts) -> Headers:
        """Return the headers that keep *facts*; a sidecar is written where they are too long."""
        headers = headers_with_facts(facts)
        if headers is None:
            self.write_sidecar(key, facts)
            metadata = ObjectMetadata(facts.http, {})
            headers = headers_with_sidecar(facts.version, metadata)
        return headers

    def write(
        self,
        key: str,
        version: str,
        condition: Condition | None,
        send: Callable[[Headers, bool], None],
        *,
        repeatable: bool = True,
    ) -> bool:
        """
        Return whether the object of *version* was written with *send*.

        *send* takes headers to add and whether to send only once; *repeatable* says that
        sending twice does no harm. Raises Refused and Unreachable; whether the object was
        written is not known then.
        """
        if condition is None and repeatable:
            send({}, False)
            return True
        breaks = 0
        for _ in range(_ROUNDS):
            judged = self._judge(key, version, condition, breaks)
            if isinstance(judged, bool):
                return judged
            try:
                send(judged, True)
            except Refused as refused:
                if refused.transient:
                    breaks += 1
                if breaks == _BREAKS or not self._starts_over(refused, bool(judged)):
                    return self._is_there(key, version, refused)
            except Unreachable as error:
                # It may have been written: the next look tells by the version.
                breaks += 1
                if breaks == _BREAKS:
                    return self._is_there(key, version, error)
            else:
                return True
        raise Unreachable("others write this object all the time")

    def _judge(
        self, key: str, version: str, condition: Condition | None, breaks: int
    ) -> bool | Headers:
        """Return the headers that bind a write to what was seen, or the outcome."""
        if condition is None and not breaks:
            return {}
        found = self.head(key)
        if found is not None and found.facts.version == version:
            return True
        if condition is None:
            return {}
        known = (None, 0) if found is None else (found.facts.etag, found.facts.uploaded)
        if not condition.holds(*known):
            return False
        if not self._sends_conditions:
            return {}
        return {"If-None-Match": "*"} if found is None else {"If-Match": f'"{found.raw_etag}"'}

    def _starts_over(self, refused: Refused, judged: bool) -> bool:
        """Return whether a refused write may hold another time."""
        if refused.status == 501 and judged:
            self._sends_conditions = False
            return True
        faster = refused.status in (409, 412) or refused.code == "NoSuchKey"
        return refused.transient or (judged and faster)

    def _is_there(self, key: str, version: str, error: Refused | Unreachable) -> bool:
        """Return True when the object of *version* is there in spite of *error*, or raise it."""
        found = self.head(key)
        if found is not None and found.facts.version == version:
            return True
        raise error

    # -- S3's uploads in parts -------------------------------------------------------------

    def create_upload(self, key: str, headers: Headers) -> str:
        """Begin an upload and return S3's id of it."""
        types = {"Content-Type": "application/octet-stream", **headers}
        answer = self._wire.request("POST", key, query={"uploads": ""}, headers=types)
        return read_text(answer.data, "UploadId")

    def send_part(self, key: str, upload: str, number: int, data: bytes | memoryview) -> StoredPart:
        """Upload a part; a second one of the same number replaces the first."""
        query = {"partNumber": str(number), "uploadId": upload}
        etag = raw_etag(self._wire.request("PUT", key, query=query, body=data).headers)
        return StoredPart(number, etag, etag, len(data), "")

    def parts(self, key: str, upload: str) -> dict[int, StoredPart]:
        """Return the parts S3 has; Refused 404 when there is no such upload."""
        stored: dict[int, StoredPart] = {}
        marker: str | None = "0"
        while marker is not None:
            query = {"uploadId": upload, "max-parts": "1000", "part-number-marker": marker}
            rows, marker = read_parts(self._wire.request("GET", key, query=query).data)
            stored |= {part.number: part for part in rows}
        return stored

    def has_ended(self, key: str, upload: str) -> bool:
        """Return whether S3 has no such upload any more."""
        query = {"uploadId": upload, "max-parts": "1"}
        try:
            self._wire.request("GET", key, query=query)
        except Refused as refused:
            return refused.status == 404
        return False

    def complete(
        self,
        key: str,
        upload: str,
        parts: Sequence[StoredPart],
        version: str,
        condition: Condition | None,
    ) -> bool:
        """Make the object of *parts*, in order of number; False when *condition* fails."""

        def send(judged: Headers, _once: bool) -> None:
            answer = self._wire.request(
                "POST",
                key,
                query={"uploadId": upload},
                headers={"Content-Type": "application/xml", **judged},
                body=write_parts(parts),
                once=True,
            )
            # S3 may begin to answer 200 before it knows how it ends.
            if (code := read_error(answer.data)) is not None:
                raise Refused(500, code)

        return self.write(key, version, condition, send, repeatable=False)

    def abort(self, key: str, upload: str) -> None:
        """Drop an upload; one that is gone is no error."""
        try:
            self._wire.request("DELETE", key, query={"uploadId": upload})
        except Refused as refused:
            if refused.status != 404:
                raise
