"""Taking objects away: those a user names, and what is left of those long gone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from r2.limits import UPLOAD_LIFETIME_SECONDS
from r2.s3_listing import all_keys
from r2.s3_metadata import SIDECARS, UPLOADS
from r2.s3_objects import S3Objects
from r2.s3_wire import Refused, Unreachable, Wire
from r2.s3_xml import NotS3, read_text, write_delete

_LIFETIME_MS: Final = UPLOAD_LIFETIME_SECONDS * 1000
# A sidecar is named when its upload begins, which may be open as long as uploads may.
_SIDECAR_MS: Final = _LIFETIME_MS + 24 * 3600 * 1000


def delete(wire: Wire, keys: Sequence[str]) -> None:
    """Remove the objects of *keys*; those missing are none the less gone."""
    plain = [key for key in keys if key.isprintable()]
    if len(plain) < 2:
        plain = []
    for key in keys:
        if key not in plain:
            _delete_one(wire, key)
    if plain:
        answer = wire.request(
            "POST",
            query={"delete": ""},
            headers={"Content-Type": "application/xml"},
            body=write_delete(plain),
        )
        # Quiet: what is told is what went wrong.
        if answer.data and b"<Error>" in answer.data:
            raise Refused(500, read_text(answer.data, "Code"))


def _delete_one(wire: Wire, key: str) -> None:
    try:
        wire.request("DELETE", key)
    except Refused as refused:
        if refused.status != 404:
            raise


def sweep(wire: Wire, objects: S3Objects, now: int) -> None:
    """
    Remove sidecars and records without an object or upload, and uploads of over 7 days.

    Stops quietly when the server does not answer, or the bucket closes.
    """
    with suppress(Refused, Unreachable, NotS3, RuntimeError, ValueError):
        _drop_records(wire, objects, now - _LIFETIME_MS)
    with suppress(Refused, Unreachable, NotS3, RuntimeError, ValueError):
        _drop_sidecars(wire, objects, now - _SIDECAR_MS)


def _drop_records(wire: Wire, objects: S3Objects, before: int) -> None:
    for key in all_keys(wire, UPLOADS):
        if wire.closing or _moment(key) >= before:
            return
        record = json.loads(wire.request("GET", key).data)
        objects.abort(str(record.get("key", "")), str(record.get("upload", "")))
        _delete_one(wire, key)


def _drop_sidecars(wire: Wire, objects: S3Objects, before: int) -> None:
    for key in all_keys(wire, SIDECARS):
        if wire.closing or _moment(key) >= before:
            return
        version = key.removeprefix(SIDECARS)
        owner = str(json.loads(wire.request("GET", key).data).get("key", ""))
        found = objects.head(owner) if owner else None
        if found is None or found.facts.version != version:
            _delete_one(wire, key)


def _moment(key: str) -> int:
    """Return the time in the name of a record or sidecar, ms since the epoch."""
    try:
        return int(key.rpartition("/")[2][:12], 16)
    except ValueError:
        return 0
