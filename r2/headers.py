"""
HTTP headers where R2 takes them in place of options: conditions, range, HTTP metadata.

In JavaScript a `Headers` object tells the two forms apart; here both are mappings, so
the names tell: all of them option names → options; otherwise headers. A mapping that
looks like mistyped options is a TypeError, because a condition silently ignored would
overwrite somebody's object.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def is_headers(what: str, given: Mapping[str, Any], options: frozenset[str]) -> bool:
    """
    Return whether *given* is a mapping of HTTP headers rather than of *options*.

    *what* names the argument in the error. A name with "-" or the name "host" marks
    real request headers, whatever else a client may have sent along.
    Raises TypeError for names that are no str, and for options with an unknown name.
    """
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{what} has names of type str, not {type(name).__name__}.")
    unknown = [name for name in given if name not in options]
    if not unknown:
        return False
    if any("-" in name or name.lower() == "host" for name in given):
        return True
    misspelt = [name for name in unknown if "_" in name or _snake(name) in options]
    if misspelt or len(unknown) < len(given):
        wrong = (misspelt or unknown)[0]
        raise TypeError(f"{what} has no field {wrong!r}; it has {', '.join(sorted(options))}.")
    return True


def lower_headers(what: str, headers: Mapping[str, Any]) -> dict[str, str]:
    """Return *headers* with names in lower case; TypeError when a value is no str."""
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(value, str):
            raise TypeError(f"{what}: the header {name!r} is a str, not {type(value).__name__}.")
        lowered[name.lower()] = value
    return lowered


def parse_http_date(text: str) -> datetime | None:
    """
    Return the moment an HTTP date names, None when it is none.

    An unreadable date is ignored, as RFC 9110 (13.1.3, 13.1.4) tells recipients.
    """
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def check_moment(what: str, value: object) -> datetime:
    """
    Return an aware datetime.

    TypeError for anything else (a naive one is ambiguous), and for what Cloudflare cannot keep:
    it counts nanoseconds in 64 bits, whatever years its texts name.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"{what} is a datetime with a time zone.")
    milliseconds = to_milliseconds(value)
    if milliseconds > _LAST_MS:
        raise TypeError("This API doesn't support dates after 2189.")
    if milliseconds < -_LAST_MS:
        raise TypeError("This API doesn't support dates before 1687.")
    return value


def to_milliseconds(moment: datetime) -> int:
    """Return *moment* in whole milliseconds since the epoch (R2's resolution)."""
    return (moment - _EPOCH) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the UTC moment *milliseconds* after the epoch."""
    return _EPOCH + milliseconds * _MILLISECOND


def _snake(name: str) -> str:
    """Return Cloudflare's own spelling (etagMatches) as ours (etag_matches)."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


_LAST_MS = (2**63 - 1) // 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC) - _EPOCH
