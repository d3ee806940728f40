"""The few XML documents of the S3 API that the bucket reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from r2.multipart import StoredPart

_SPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"


class NotS3(Exception):  # noqa: N818 - an answer
    """The answer is no document of S3."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list as S3 has it: keys and common prefixes, each in S3's order."""

    keys: list[str]
    prefixes: list[str]
    truncated: bool
    token: str | None


def read_text(data: bytes, name: str) -> str:
    """Return the text of the first element *name*. Raises NotS3."""
    for element in _tree(data).iter():
        if _local(element) == name:
            return element.text or ""
    raise NotS3


def read_error(data: bytes) -> str | None:
    """Return the code of an error, None when *data* is none. Raises NotS3."""
    return read_text(data, "Code") if _local(_tree(data)) == "Error" else None


def read_parts(data: bytes) -> tuple[list[StoredPart], str | None]:
    """Return a page of the parts of an upload, and the marker of the next. Raises NotS3."""
    tree = _tree(data)
    parts = []
    try:
        for fields in _rows(tree, "Part"):
            etag = fields["ETag"].strip('"')
            parts.append(StoredPart(int(fields["PartNumber"]), etag, etag, int(fields["Size"]), ""))
    except (KeyError, ValueError):
        raise NotS3 from None
    more = _optional(tree, "IsTruncated").lower() == "true"
    return parts, (_optional(tree, "NextPartNumberMarker") or None) if more else None


def read_list(data: bytes) -> Listed:
    """Return a page of a list. Raises NotS3."""
    tree = _tree(data)
    encoded = _optional(tree, "EncodingType") == "url"

    def names(row: str, field: str) -> list[str]:
        texts = [fields.get(field, "") for fields in _rows(tree, row)]
        return [unquote_plus(text) for text in texts] if encoded else texts

    return Listed(
        names("Contents", "Key"),
        names("CommonPrefixes", "Prefix"),
        _optional(tree, "IsTruncated").lower() == "true",
        _optional(tree, "NextContinuationToken") or None,
    )


def write_parts(parts: Sequence[StoredPart]) -> bytes:
    """Return the document that completes an upload of *parts*."""
    root = ElementTree.Element("CompleteMultipartUpload", xmlns=_SPACE)
    for part in parts:
        row = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(row, "PartNumber").text = str(part.number)
        ElementTree.SubElement(row, "ETag").text = f'"{part.etag}"'
    return ElementTree.tostring(root)


def write_delete(keys: Iterable[str]) -> bytes:
    """Return the document that deletes *keys*, which have no control characters."""
    root = ElementTree.Element("Delete", xmlns=_SPACE)
    ElementTree.SubElement(root, "Quiet").text = "true"
    for key in keys:
        row = ElementTree.SubElement(root, "Object")
        ElementTree.SubElement(row, "Key").text = key
    return ElementTree.tostring(root)


def _tree(data: bytes) -> ElementTree.Element:
    try:
        # The server the operator chose wrote it, not a stranger.
        return ElementTree.fromstring(data)  # noqa: S314
    except (ElementTree.ParseError, ValueError):
        raise NotS3 from None


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _rows(tree: ElementTree.Element, name: str) -> list[dict[str, str]]:
    return [
        {_local(field): field.text or "" for field in element}
        for element in tree
        if _local(element) == name
    ]


def _optional(tree: ElementTree.Element, name: str) -> str:
    for element in tree:
        if _local(element) == name:
            return element.text or ""
    return ""
