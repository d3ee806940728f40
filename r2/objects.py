"""
What a bucket hands out: objects, their metadata, pages of a list, parts.

Names are Cloudflare's in snake_case; None stands for undefined, bytes for ArrayBuffer,
an aware UTC datetime for Date. Source: the R2 Workers API reference and bindings.md C1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from r2.checksums import R2Checksums
from r2.headers import (
    check_moment,
    from_milliseconds,
    is_headers,
    lower_headers,
    parse_http_date,
    to_milliseconds,
)
from r2.ranges import R2Range
from r2.streams import BodyStream

# Field → HTTP header, for the fields that are plain texts.
_TEXT_HEADERS: Final = {
    "content_type": "content-type",
    "content_language": "content-language",
    "content_disposition": "content-disposition",
    "content_encoding": "content-encoding",
    "cache_control": "cache-control",
}
HTTP_FIELDS: Final = frozenset(_TEXT_HEADERS) | {"cache_expiry"}


@dataclass(frozen=True, slots=True)
class R2HttpMetadata:
    """The HTTP headers kept with an object; `cache_expiry` is the Expires header."""

    content_type: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    cache_control: str | None = None
    cache_expiry: datetime | None = None

    def to_json(self) -> dict[str, str | int]:
        """Return the fields that are set, the moment as milliseconds since the epoch."""
        fields: dict[str, str | int] = {
            name: value for name in _TEXT_HEADERS if (value := getattr(self, name)) is not None
        }
        if self.cache_expiry is not None:
            fields["cache_expiry"] = to_milliseconds(self.cache_expiry)
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> R2HttpMetadata:
        """Return what `to_json` wrote."""
        values = dict(fields)
        if "cache_expiry" in values:
            values["cache_expiry"] = from_milliseconds(values["cache_expiry"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """What the caller keeps with an object, checked."""

    http: R2HttpMetadata
    custom: dict[str, str]
    storage_class: str | None = None


def parse_http_metadata(given: object) -> R2HttpMetadata:
    """
    Return HTTP metadata from a mapping of fields, of HTTP headers, or from itself.

    Headers other than the six are left out. The texts are not checked, as in R2.
    Raises TypeError (not a mapping, unknown field, wrong type).
    """
    if given is None:
        return R2HttpMetadata()
    if isinstance(given, R2HttpMetadata):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"http_metadata is a mapping, not {type(given).__name__}.")
    if is_headers("http_metadata", given, HTTP_FIELDS):
        headers = lower_headers("http_metadata", given)
        expires = headers.get("expires")
        return R2HttpMetadata(
            **{name: headers.get(header) for name, header in _TEXT_HEADERS.items()},
            cache_expiry=None if expires is None else parse_http_date(expires),
        )
    for name in _TEXT_HEADERS:
        if not isinstance(given.get(name), str | None):
            raise TypeError(f"http_metadata: {name} is a str.")
    expiry = given.get("cache_expiry")
    if expiry is not None:
        # To milliseconds and back: what is read later is what the caller sees now.
        expiry = from_milliseconds(to_milliseconds(check_moment("cache_expiry", expiry)))
    return R2HttpMetadata(**{name: given.get(name) for name in _TEXT_HEADERS}, cache_expiry=expiry)


@dataclass(frozen=True, slots=True, kw_only=True)
class R2Object:
    """
    An object without its body.

    `size` in bytes; `version` changes with every put; `range` is None in a put's result
    and in lists. In a list both kinds of metadata are empty unless included.
    """

    key: str
    version: str
    size: int
    etag: str
    uploaded: datetime
    checksums: R2Checksums = field(default_factory=R2Checksums)
    http_metadata: R2HttpMetadata = field(default_factory=R2HttpMetadata)
    custom_metadata: dict[str, str] = field(default_factory=dict)
    range: R2Range | None = None
    storage_class: str = ""

    @property
    def http_etag(self) -> str:
        """The etag in double quotes, as the ETag header has it."""
        return f'"{self.etag}"'

    def write_http_metadata(self, headers: MutableMapping[str, str]) -> None:
        """
        Set the HTTP headers kept with the object in *headers* (lower-case names).

        Raises TypeError, before it sets any, when a value cannot be a header: R2 keeps
        any text, and a line break would start a header of its own.
        """
        metadata = self.http_metadata
        values = {
            header: value
            for name, header in _TEXT_HEADERS.items()
            if (value := getattr(metadata, name)) is not None
        }
        if metadata.cache_expiry is not None:
            values["expires"] = format_datetime(metadata.cache_expiry.astimezone(UTC), usegmt=True)
        for header, value in values.items():
            if any(character in value for character in "\r\n\0"):
                raise TypeError(f"Invalid header value for {header}.")
        headers.update(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class R2ObjectBody(R2Object):
    """An object with its body, which can be read once."""

    body: BodyStream

    @property
    def body_used(self) -> bool:
        """Whether the body was read, or begun."""
        return self.body.used

    async def bytes(self) -> bytes:
        """Return the body; TypeError when it was used before."""
        return await self.body.read_all()

    async def text(self) -> str:
        """Return the body as UTF-8 text, damaged bytes as U+FFFD; TypeError when used."""
        return (await self.body.read_all()).decode("utf-8", "replace").removeprefix("\ufeff")

    async def json(self) -> Any:
        """Return the body read as JSON; ValueError when it is none, TypeError when used."""
        return json.loads(await self.text())


@dataclass(frozen=True, slots=True)
class R2Objects:
    """A page of a list: `cursor` leads to the next one and is None on the last."""

    objects: list[R2Object]
    truncated: bool
    cursor: str | None
    delimited_prefixes: list[str]


@dataclass(frozen=True, slots=True)
class R2UploadedPart:
    """A part that was uploaded: hand it to complete()."""

    part_number: int
    etag: str
