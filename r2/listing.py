"""
list: which keys make a page, in the byte order of their UTF-8.

`fill_page` is the whole rule, over any ordered source of keys; a store that lists by
itself uses `ListQuery` only. Source: bindings.md C6.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from r2.errors import BAD_MAX_KEYS, refusal
from r2.limits import MAX_LIST_KEYS, MAX_LIST_KEYS_WITH_METADATA

# Cloudflare's words are accepted beside ours: they are values, not names.
_INCLUDE: Final = {
    "http_metadata": "http",
    "httpMetadata": "http",
    "custom_metadata": "custom",
    "customMetadata": "custom",
}

Row = TypeVar("Row")
# Given the lowest key wanted and how many, returns (key, row) in order of key.
Scan = Callable[[bytes, int], Sequence[tuple[bytes, Row]]]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A checked list call; keys are UTF-8. `limit` is what a page may hold at most."""

    limit: int = MAX_LIST_KEYS
    prefix: bytes = b""
    delimiter: bytes = b""
    start_after: bytes | None = None
    cursor: bytes | None = None
    http_metadata: bool = False
    custom_metadata: bool = False

    @property
    def first(self) -> bytes:
        """The lowest key that may be on the page."""
        lowest = self.prefix
        if self.start_after is not None:
            lowest = max(lowest, self.start_after + b"\0")
        if self.cursor is not None:
            lowest = max(lowest, self.after(self.cursor))
        return lowest

    @property
    def end(self) -> bytes | None:
        """The lowest key beyond the prefix; None when there is none."""
        return beyond(self.prefix)

    def group(self, key: bytes) -> bytes | None:
        """Return the delimited prefix *key* falls under, None when it stands alone."""
        if not self.delimiter or not key.startswith(self.prefix):
            return None
        found = key.find(self.delimiter, len(self.prefix))
        return None if found < 0 else key[: found + len(self.delimiter)]

    def after(self, key: bytes) -> bytes:
        """Return the lowest key after *key*, and after its whole group when it has one."""
        group = self.group(key)
        return key + b"\0" if group is None else beyond(group) or key + b"\0"


@dataclass(slots=True)
class Page(Generic[Row]):
    """The content of a page; `more_after` is its last key or group when more follows."""

    rows: list[Row] = field(default_factory=list)
    groups: list[bytes] = field(default_factory=list)
    more_after: bytes | None = None

    @property
    def cursor(self) -> str | None:
        """The cursor of the next page, None when this is the last."""
        return None if self.more_after is None else encode_cursor(self.more_after)


def fill_page(query: ListQuery, scan: Scan[Row]) -> Page[Row]:
    """
    Return the page *query* asks for.

    A group counts as one, is reported once and is skipped by asking *scan* for what
    lies beyond it, so that a large group costs no more than a small one.
    """
    page: Page[Row] = Page()
    lowest = query.first
    last = b""
    room = query.limit
    while True:
        wanted = room + 1
        batch = scan(lowest, wanted)
        for key, row in batch:
            if key < lowest:
                continue
            if room == 0:
                page.more_after = last
                return page
            group = query.group(key)
            if group is None:
                page.rows.append(row)
            else:
                page.groups.append(group)
            last = key if group is None else group
            lowest = query.after(key)
            room -= 1
        if len(batch) < wanted:
            return page


def parse_list(
    limit: object,
    prefix: object,
    cursor: object,
    delimiter: object,
    start_after: object,
    include: object,
) -> ListQuery:
    """
    Return the query of a list call.

    Raises TypeError (wrong type), ValueError (an unknown word in include; JavaScript's
    RangeError) and R2Error 10022 (limit not within 1 to 1000). A cursor that is none
    lists from the beginning, as the simulator does.
    """
    if limit is None:
        limit = MAX_LIST_KEYS
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise TypeError(f"limit is an int, not {type(limit).__name__}.")
    if not 1 <= limit <= MAX_LIST_KEYS:
        raise refusal("list", BAD_MAX_KEYS)
    kinds = _parse_include(include)
    after = _utf8("start_after", start_after)
    return ListQuery(
        limit=min(limit, MAX_LIST_KEYS_WITH_METADATA) if kinds else limit,
        prefix=_utf8("prefix", prefix) or b"",
        delimiter=_utf8("delimiter", delimiter) or b"",
        start_after=after,
        cursor=decode_cursor(cursor),
        http_metadata="http" in kinds,
        custom_metadata="custom" in kinds,
    )


def beyond(prefix: bytes) -> bytes | None:
    """Return the lowest key above every key that starts with *prefix*; None for b""."""
    # UTF-8 has no byte 0xFF, so the last byte can always be raised.
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else None


def encode_cursor(last: bytes) -> str:
    """Return the cursor that continues after *last*."""
    return base64.b64encode(last).decode()


def decode_cursor(cursor: object) -> bytes | None:
    """Return where *cursor* stands, None for None; what is no cursor stands at the start."""
    if cursor is None:
        return None
    if not isinstance(cursor, str):
        raise TypeError(f"cursor is a str, not {type(cursor).__name__}.")
    try:
        return base64.b64decode(cursor, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _parse_include(include: object) -> set[str]:
    if include is None:
        return set()
    if isinstance(include, str) or not isinstance(include, Iterable):
        raise TypeError(f"include is a list of words, not {type(include).__name__}.")
    kinds: set[str] = set()
    for word in include:
        if word not in _INCLUDE:
            raise ValueError(f"Unsupported include value {word}")
        kinds.add(_INCLUDE[word])
    return kinds


def _utf8(name: str, value: object) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}.")
    # A lone surrogate is in no key: it may stand for itself and match nothing.
    return value.encode("utf-8", "surrogatepass")
