"""
If-Match and If-None-Match of the backup doors: which version the client believes to replace.

A version is a number; as an ETag it stands in double quotes, and bare numbers are taken too (seed
encrypted-backup.md §4.2). Lists, weak tags and `*` would allow an overwrite that nobody meant.
"""

import re

from worker.errors import BadRequest
from worker.web import HeaderMap

_VERSION = re.compile(r'"([1-9][0-9]{0,14})"|([1-9][0-9]{0,14})', re.ASCII)


def etag(version: int) -> str:
    """Return the ETag of *version*."""
    return f'"{version}"'


def expected_version(headers: HeaderMap) -> int | None:
    """
    Return the version that If-Match names; None when the client believes that there is none.

    Raises `BadRequest` for anything but one version.
    """
    wanted = headers.get("if-match")
    absent = headers.get("if-none-match")
    if absent is not None and (absent.strip() != "*" or wanted is not None):
        raise BadRequest("If-None-Match may be * for a first upload, and not beside If-Match.")
    if wanted is None:
        return None
    found = _VERSION.fullmatch(wanted.strip())
    if found is None:
        raise BadRequest('If-Match must be one version, e.g. "3".')
    return int(found[1] or found[2])


def is_current(headers: HeaderMap, version: int) -> bool:
    """Whether If-None-Match says that the client has *version* already (RFC 9110 §13.1.2)."""
    known = headers.get("if-none-match")
    if known is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return "*" in tags or etag(version) in tags or str(version) in tags
