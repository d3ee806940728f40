"""
What R2 keeps with an object, in the headers of an S3 object.

Everything is in one field, x-amz-meta-edgekeep: JSON, compressed, in base64. What other S3
tools can use stands in S3's own headers too (Content-Type and its like) or only there (custom
metadata of plain names and values). S3 keeps 2 KB of metadata with an object, and settles it
before the body is known: what is longer or comes later is a sidecar, an object of its own
named by the version (`sidecar_key`), and the field then says so.

An object without the field was written by another tool: what S3 says of it stands in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import format_datetime
from typing import Any, Final

from r2.checksums import R2Checksums
from r2.headers import from_milliseconds, parse_http_date, to_milliseconds
from r2.objects import ObjectMetadata, R2HttpMetadata, R2Object
from r2.ranges import R2Range

# The keys of our own objects begin so; users cannot name them.
RESERVED: Final = ".edgekeep/"
SIDECARS: Final = f"{RESERVED}objects/"
UPLOADS: Final = f"{RESERVED}uploads/"

_META: Final = "x-amz-meta-"
_FIELD: Final = f"{_META}edgekeep"
# S3's 2 KB of names and values, less a reserve for what servers add.
_ROOM: Final = 1900
_NATIVE_ROOM: Final = 700
_MAX_JSON: Final = 65_536
_TEXT_HEADERS: Final = {
    "content_type": "Content-Type",
    "content_language": "Content-Language",
    "content_disposition": "Content-Disposition",
    "content_encoding": "Content-Encoding",
    "cache_control": "Cache-Control",
}
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
# One blank at a time: signing folds them.
_PLAIN_VALUE = re.compile(r"[!-~]+(?: [!-~]+)*")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What R2 knows of an object beyond key and size; `uploaded` in ms since the epoch."""

    version: str
    uploaded: int
    etag: str
    checksums: R2Checksums
    http: R2HttpMetadata
    custom: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return {
            "v": self.version,
            "u": self.uploaded,
            "e": self.etag,
            "d": self.checksums.to_json(),
            "h": self.http.to_json(),
            "c": self.custom,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Facts:
        """Return what `to_json` wrote; KeyError, TypeError, ValueError for anything else."""
        return cls(
            str(fields["v"]),
            int(fields["u"]),
            str(fields["e"]),
            R2Checksums.from_json(fields["d"]),
            R2HttpMetadata.from_json(fields["h"]),
            {str(name): str(value) for name, value in fields["c"].items()},
        )

    def to_object(self, key: str, size: int, span: R2Range | None = None) -> R2Object:
        """Return the object of *key* whose answer covers *span*."""
        return R2Object(**self.fields(key, size), range=span)

    def fields(self, key: str, size: int) -> dict[str, Any]:
        """Return the fields of an R2Object but its range."""
        return {
            "key": key,
            "version": self.version,
            "size": size,
            "etag": self.etag,
            "uploaded": from_milliseconds(self.uploaded),
            "checksums": self.checksums,
            "http_metadata": self.http,
            "custom_metadata": dict(self.custom),
        }


def sidecar_key(version: str) -> str:
    """Return the key of the sidecar of the object of *version*."""
    return SIDECARS + version


def headers_with_facts(facts: Facts) -> dict[str, str] | None:
    """Return the headers that keep *facts*; None when they are too long for S3's headers."""
    native = _native_custom(facts.custom)
    fields = facts.to_json()
    if native is not None:
        fields["n"] = list(fields.pop("c"))
    packed = _pack(fields)
    if len(packed) > _ROOM - _NATIVE_ROOM * bool(native):
        return None
    return {**_http_headers(facts.http), **(native or {}), _FIELD: packed}


def headers_with_sidecar(version: str, metadata: ObjectMetadata) -> dict[str, str]:
    """Return the headers of an object whose facts are in the sidecar of *version*."""
    native = _native_custom(metadata.custom) or {}
    return {**_http_headers(metadata.http), **native, _FIELD: _pack({"v": version, "s": 1})}


def read_version(headers: Mapping[str, str]) -> str | None:
    """Return the version of an object whose facts are in a sidecar, None for others."""
    fields = _unpack(headers.get(_FIELD))
    return str(fields["v"]) if fields.get("s") == 1 and "v" in fields else None


def read_facts(headers: Mapping[str, str], version: str | None = None) -> Facts:
    """
    Return the facts in the response *headers* of an object.

    Without our field, or where the sidecar of *version* is lost, they are what S3 says.
    """
    fields = _unpack(headers.get(_FIELD))
    try:
        names = fields.get("n")
        if names is not None:
            fields["c"] = {name: headers.get(_META + name, "") for name in names}
        return Facts.from_json(fields)
    except (KeyError, TypeError, ValueError, AttributeError):
        return _foreign(headers, version)


def raw_etag(headers: Mapping[str, str]) -> str:
    """Return S3's own etag without quotes; it need not be R2's."""
    return headers.get("etag", "").strip('"')


def checksums_of(etag: str) -> R2Checksums:
    """Return the checksums an etag is proof of: MD5, unless the object came in parts."""
    return R2Checksums(md5=bytes.fromhex(etag)) if _MD5.fullmatch(etag) else R2Checksums()


def _foreign(headers: Mapping[str, str], version: str | None) -> Facts:
    etag, modified = raw_etag(headers), headers.get("last-modified", "")
    moment = parse_http_date(modified)
    seed = f"{etag} {modified}".encode()
    custom = {
        name.lower().removeprefix(_META): value
        for name, value in headers.items()
        if name.lower().startswith(_META) and name.lower() != _FIELD
    }
    expires = headers.get("expires")
    return Facts(
        version or hashlib.md5(seed, usedforsecurity=False).hexdigest(),
        0 if moment is None else to_milliseconds(moment),
        etag,
        checksums_of(etag),
        R2HttpMetadata(
            **{field: headers.get(name) for field, name in _TEXT_HEADERS.items()},
            cache_expiry=None if expires is None else parse_http_date(expires),
        ),
        custom,
    )


def _http_headers(http: R2HttpMetadata) -> dict[str, str]:
    """Return S3's own headers for other readers, where the texts can be headers."""
    headers = {
        name: value
        for field, name in _TEXT_HEADERS.items()
        if (value := getattr(http, field)) and _PLAIN_VALUE.fullmatch(value) and len(value) <= 256
    }
    # S3 would take it for the way the body is sent.
    if "aws-chunked" in headers.get("Content-Encoding", "").lower():
        del headers["Content-Encoding"]
    if http.cache_expiry is not None and http.cache_expiry.year >= 1900:
        headers["Expires"] = format_datetime(http.cache_expiry.astimezone(UTC), usegmt=True)
    return headers


def _native_custom(custom: Mapping[str, str]) -> dict[str, str] | None:
    """Return custom metadata as S3's own headers, None when those would change it."""
    plain = all(
        _PLAIN_NAME.fullmatch(name) and name != "edgekeep" and _PLAIN_VALUE.fullmatch(value)
        for name, value in custom.items()
    )
    room = sum(len(name) + len(value) for name, value in custom.items()) <= _NATIVE_ROOM
    return {_META + name: value for name, value in custom.items()} if plain and room else None


def _pack(fields: Mapping[str, Any]) -> str:
    # ASCII JSON: a lone surrogate in a text survives.
    text = json.dumps(fields, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.compress(text, 9)).decode()


def _unpack(packed: str | None) -> dict[str, Any]:
    """Return the fields, {} when somebody else wrote them."""
    if not packed:
        return {}
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(base64.urlsafe_b64decode(packed), _MAX_JSON)
        fields = json.loads(text)
    except (binascii.Error, zlib.error, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}
