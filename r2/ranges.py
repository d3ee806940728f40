"""
range: which bytes of an object a get returns.

Options `offset`, `length` (clamped to the end) or `suffix`, or HTTP headers with Range
(one range of bytes; anything unreadable, multiple or unsatisfiable is ignored, as
RFC 9110 section 14.2 allows). Source: bindings.md C4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from r2.errors import BAD_RANGE, refusal
from r2.headers import is_headers, lower_headers

RANGE_FIELDS: Final = frozenset({"offset", "length", "suffix"})

# 18 digits reach far beyond the largest object and keep int() cheap.
_SINGLE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class R2Range:
    """The bytes an answer covers: `length` of them from `offset` on."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """A parsed range; `lenient` marks the header form, in which bad ranges are ignored."""

    offset: int | None = None
    length: int | None = None
    suffix: int | None = None
    lenient: bool = False

    def resolve(self, size: int) -> R2Range:
        """Return the bytes meant of an object of *size* bytes; R2Error 10039 when none are."""
        if self.offset is None and self.length is None and self.suffix is None:
            return R2Range(0, size)
        if self.suffix is not None:
            offset = max(size - self.suffix, 0)
            length = size - offset
        else:
            offset = self.offset or 0
            length = size - offset if self.length is None else min(self.length, size - offset)
        if length > 0:
            return R2Range(offset, length)
        if self.lenient:
            return R2Range(0, size)
        raise refusal("get", BAD_RANGE)


def parse_range(given: object) -> RangeRequest | None:
    """
    Return the range *given* asks for; None when it asks for none.

    Raises TypeError (wrong type, suffix together with offset or length) and
    ValueError (negative or fractional; JavaScript's RangeError).
    """
    if given is None:
        return None
    if isinstance(given, R2Range):
        return RangeRequest(given.offset, given.length)
    if not isinstance(given, Mapping):
        raise TypeError(f"range is a mapping, not {type(given).__name__}.")
    if is_headers("range", given, RANGE_FIELDS):
        return _from_header(lower_headers("range", given).get("range"))
    return _from_options(given)


def _from_options(options: Mapping[str, Any]) -> RangeRequest:
    offset = _whole("range. Starting offset", "range. Starting offset", options.get("offset"))
    length = _whole("range. Length", "range. Length", options.get("length"))
    suffix = options.get("suffix")
    if suffix is not None and offset is not None:
        raise TypeError("Suffix is incompatible with offset.")
    if suffix is not None and length is not None:
        raise TypeError("Suffix is incompatible with length.")
    return RangeRequest(offset, length, _whole("suffix. Suffix", "range. Suffix", suffix))


def _whole(negative: str, fractional: str, value: object) -> int | None:
    """Return *value* as a whole number from 0; ValueError worded as the runtime words it."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"A range holds numbers, not {type(value).__name__}.")
    if value < 0:
        raise ValueError(f"Invalid {negative} ({value}) must be greater than or equal to 0.")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"Invalid {fractional} ({value}) must be an integer, not floating point.")
    return int(value)


def _from_header(header: str | None) -> RangeRequest | None:
    found = None if header is None else _SINGLE.fullmatch(header)
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first == "":
        return RangeRequest(suffix=int(last), lenient=True)
    if last == "":
        return RangeRequest(offset=int(first), lenient=True)
    if int(last) < int(first):
        return None
    return RangeRequest(offset=int(first), length=int(last) - int(first) + 1, lenient=True)
