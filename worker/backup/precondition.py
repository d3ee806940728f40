"""
If-Match and If-None-Match of the backup's doors: what the client believes to replace, or to have.

A version is a number; as an ETag it stands in double quotes, and bare numbers are taken too (seed
encrypted-backup.md §4.2). Lists, weak tags and `*` would allow an overwrite that nobody meant.
"""

import re

from worker.errors import BadRequest
from worker.web import Request

_VERSION = re.compile(r'"([1-9][0-9]{0,14})"|([1-9][0-9]{0,14})', re.ASCII)
# One entry of a list of tags; a tag may hold commas, and what is no tag is passed over.
_TAG = re.compile(r'(?:W/)?("[^"]*")|([^\s,"]+)')


def etag(version: int) -> str:
    """Return the ETag of *version*."""
    return f'"{version}"'


def expected_version(request: Request) -> int | None:
    """
    Return the version that If-Match names; None when the client believes that there is none.

    Raises `BadRequest` for anything but one version.
    """
    wanted = request.field("if-match")
    absent = request.field("if-none-match")
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
