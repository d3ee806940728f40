"""
Uploads in parts: which parts make an object, and its etag.

Source: bindings.md C8; the order of the checks is the simulator's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from r2.errors import BAD_UPLOAD, INTERNAL, NO_SUCH_PART, TOO_SMALL, refusal
from r2.limits import MIN_PART_BYTES
from r2.objects import R2UploadedPart

VERB = "completeMultipartUpload"


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part the store has: `md5` in hex, `size` in bytes, `version` names its bytes."""

    number: int
    etag: str
    md5: str
    size: int
    version: str


def parse_parts(parts: object) -> list[R2UploadedPart]:
    """
    Return the parts given to complete(): R2UploadedPart or {"part_number", "etag"}.

    Raises TypeError for anything else.
    """
    if isinstance(parts, str | bytes | Mapping) or not isinstance(parts, Iterable):
        raise TypeError(f"complete takes a list of parts, not {type(parts).__name__}.")
    return [_parse_part(part) for part in parts]


def _parse_part(part: object) -> R2UploadedPart:
    if isinstance(part, R2UploadedPart):
        return part
    if not isinstance(part, Mapping):
        raise TypeError(f"A part is an R2UploadedPart, not {type(part).__name__}.")
    number, etag = part.get("part_number"), part.get("etag")
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(etag, str):
        raise TypeError("A part has a part_number (int) and an etag (str).")
    return R2UploadedPart(number, etag)


def choose_parts(
    chosen: Sequence[R2UploadedPart], stored: Mapping[int, StoredPart]
) -> list[StoredPart]:
    """
    Return the parts of the object in order of number.

    Raises R2Error: 10001 a number twice, 10025 a part or etag the store does not have,
    10011 a part under 5 MiB before the last *of the list as given*, 10048 unequal
    sizes or a last part larger than the others.
    """
    if len({part.part_number for part in chosen}) < len(chosen):
        raise refusal(VERB, INTERNAL)
    parts: list[StoredPart] = []
    for part in chosen:
        found = stored.get(part.part_number)
        if found is None or found.etag != part.etag:
            raise refusal(VERB, NO_SUCH_PART)
        parts.append(found)
    if any(part.size < MIN_PART_BYTES for part in parts[:-1]):
        raise refusal(VERB, TOO_SMALL)
    parts.sort(key=lambda part: part.number)
    if not parts[1:]:
        return parts
    size = parts[0].size
    # In order of number another part may be the last: check the minimum again.
    if size < MIN_PART_BYTES or any(part.size != size for part in parts[:-1]):
        raise refusal(VERB, BAD_UPLOAD)
    if parts[-1].size > size:
        raise refusal(VERB, BAD_UPLOAD)
    return parts


def multipart_etag(parts: Sequence[StoredPart]) -> str:
    """Return the etag of an object in parts: MD5 of the parts' MD5s, "-", how many."""
    digests = b"".join(bytes.fromhex(part.md5) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
