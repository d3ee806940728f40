"""
What a request says beside its path: which version it replaces or has, which part it wants.

A version of the backup is a number; as an ETag it stands in double quotes, and bare numbers are
taken too (seed encrypted-backup.md §4.2). Lists, weak tags and `*` would allow an overwrite that
nobody meant.

Of an attachment one range of bytes is honoured (RFC 9110 §13.1.5 and §14). Several, other units and
what cannot be read are ignored, as §14.2 allows: the client gets everything. A range that is
readable and beyond the end is a 416.
"""

import re
from dataclasses import dataclass

from worker.errors import BadRequest, RangeNotSatisfiable
from worker.web import Request
from worker.wire.sent_headers import sent

_IF_MATCH = sent("If-Match")
_IF_NONE_MATCH = sent("If-None-Match")
_IF_RANGE = sent("If-Range")
_RANGE = sent("Range")
_VERSION = re.compile(r'"([1-9][0-9]{0,14})"|([1-9][0-9]{0,14})', re.ASCII)
# One entry of a list of tags; a tag may hold commas, and what is no tag is passed over.
_TAG = re.compile(r'(?:W/)?("[^"]*")|([^\s,"]+)')
# 18 digits reach far beyond the largest object and keep int() cheap; more mean the same.
_BYTES = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE | re.ASCII)
_DIGITS = 18


def etag(version: int) -> str:
    """Return the ETag of *version*."""
    return f'"{version}"'


def expected_version(request: Request) -> int | None:
    """
    Return the version that If-Match names; None when the client believes that there is none.

    Raises `BadRequest` for anything but one version.
    """
    wanted = request.field(_IF_MATCH)
    absent = request.field(_IF_NONE_MATCH)
    if absent is not None and (absent.strip() != "*" or wanted is not None):
        raise BadRequest("If-None-Match may be * for a first upload, and not beside If-Match.")
    if wanted is None:
        return None
    found = _VERSION.fullmatch(wanted.strip(" \t"))
    if found is None:
        raise BadRequest('If-Match must be one version, e.g. "3".')
    return int(found[1] or found[2])


def is_known(request: Request, tag: str) -> bool:
    """
    Whether If-None-Match says that the client has *tag* already (RFC 9110 §13.1.2).

    Weak tags count, and a version without its quotes.
    """
    known = request.field("if-none-match")
    if known is None:
        return False
    named = {quoted or bare for quoted, bare in _TAG.findall(known)}
    return not named.isdisjoint(("*", tag, tag.strip('"')))


@dataclass(frozen=True, slots=True)
class Part:
    """*length* bytes from *offset* on."""

    offset: int
    length: int

    def content_range(self, size: int) -> str:
        """Return the Content-Range of this part of a file of *size* bytes."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size}"


def wanted_part(request: Request, tag: str, size: int) -> Part | None:
    """
    Return the part of a file of *size* bytes that *request* asks for; None: all of it.

    *tag* is the file's ETag, which If-Range compares. Raises `RangeNotSatisfiable`.
    """
    header = request.field(_RANGE)
    if header is None or request.field(_IF_RANGE) not in (None, tag):
        return None
    return parse_range(header, size)


def parse_range(header: str, size: int) -> Part | None:
    """Return the one range of *header* in a file of *size* bytes; None when it is ignored."""
    found = _BYTES.fullmatch(header.strip(" \t"))
    if found is None or not (found[1] or found[2]):
        return None
    first, last = _number(found[1]), _number(found[2])
    if first is None:
        begin, end = max(size - (last or 0), 0), size
    else:
        if last is not None and last < first:
            # Not a range at all (§14.1.2).
            return None
        begin, end = first, size if last is None else min(last + 1, size)
    if begin >= end:
        fields = {"Content-Range": f"bytes */{size}"}
        raise RangeNotSatisfiable("The file ends before this part.", headers=fields)
    return Part(begin, end - begin)


def _number(digits: str) -> int | None:
    """Return the number in *digits*, or one as good as it when it is beyond every file."""
    if not digits:
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS
