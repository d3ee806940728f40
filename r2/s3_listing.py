"""
Pages of a list from an S3 server.

S3 lists names only. What R2 shows besides (version, time of upload, etag, metadata) is in
the headers of each object, so a page costs a HEAD for each object on it, a few at a time.
Our own objects below `RESERVED` never show, nor a delimited prefix that holds nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from r2.limits import MAX_KEY_BYTES, MAX_LIST_KEYS
from r2.listing import ListQuery, encode_cursor
from r2.objects import R2HttpMetadata, R2Object
from r2.s3_metadata import RESERVED
from r2.s3_objects import Found, S3Objects
from r2.s3_wire import Refused, Wire
from r2.s3_xml import Listed, read_list

_HIGHEST: Final = "\U0010ffff"
# Short pages are asked for longer: a list that fits one page of the server is right even
# where the server pages in the order of time (rclone does).
_AT_LEAST: Final = 200


@dataclass(slots=True)
class Names:
    """The names of a page in order; `cursor` leads to the next one."""

    keys: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    cursor: str | None = None


def page_of_names(wire: Wire, query: ListQuery) -> Names:
    """Return the names of the page *query* asks for. Blocks; raises Refused, Unreachable."""
    names = Names()
    room = query.limit
    last = b""
    for text, is_group in _entries(wire, query):
        if not room:
            names.cursor = encode_cursor(last)
            break
        (names.groups if is_group else names.keys).append(text)
        last = text.encode()
        room -= 1
    return names


def all_keys(wire: Wire, prefix: str) -> Iterator[str]:
    """Yield the keys under *prefix*, our own too, as S3 orders them."""
    after = ""
    while True:
        page = _ask(wire, prefix, "", after, MAX_LIST_KEYS)
        yield from page.keys
        if not page.truncated or not page.keys:
            return
        after = page.keys[-1]


def _entries(wire: Wire, query: ListQuery) -> Iterator[tuple[str, bool]]:
    """Yield keys and groups from the place *query* names, each with whether it is a group."""
    prefix = query.prefix.decode("utf-8", "replace")
    delimiter = query.delimiter.decode("utf-8", "replace")
    if "\ufffd" in prefix and prefix.encode() != query.prefix:
        # A lone surrogate is in no key.
        return
    lowest, after = query.first, _start(query)
    begun = None if after.endswith(_HIGHEST) else query.group(after.encode())
    if begun is not None:
        # Servers differ in whether a group shows that the page begins inside of: ask.
        group = begun.decode()
        if _ask(wire, group, "", after, 1).keys and not _hidden(wire, group, is_group=True):
            yield group, True
        after = _past(group)
    passed = b""
    while True:
        asked = min(max(query.limit + 1, _AT_LEAST), MAX_LIST_KEYS)
        page = _ask(wire, prefix, delimiter, after, asked)
        entries = sorted(
            [(key.encode(), key, False) for key in page.keys]
            + [(group.encode(), group, True) for group in page.prefixes]
        )
        for name, text, is_group in entries:
            if name >= lowest and name > passed and not _hidden(wire, text, is_group):
                yield text, is_group
        if not page.truncated or not entries:
            return
        if entries[-1][0] <= passed or page.keys != sorted(page.keys, key=str.encode):
            # A server that pages in another order: better no list than a wrong one.
            raise Refused(501, "")
        passed, text, is_group = entries[-1]
        after = _RESERVED_END if text.startswith(RESERVED) else _past(text) if is_group else text


def _ask(wire: Wire, prefix: str, delimiter: str, after: str, limit: int) -> Listed:
    query = {
        "list-type": "2",
        "encoding-type": "url",
        "max-keys": str(limit),
        "prefix": prefix,
        "delimiter": delimiter,
    }
    if after:
        query["start-after"] = after
    return read_list(wire.request("GET", query=query).data)


def _past(group: str) -> str:
    """Return a text of a key's length above the keys under *group*."""
    return group + _HIGHEST * ((MAX_KEY_BYTES - len(group.encode())) // 4)


_RESERVED_END: Final = _past(RESERVED)


def _start(query: ListQuery) -> str:
    """Return the text the page begins after."""
    start = "" if query.start_after is None else query.start_after.decode("utf-8", "replace")
    if not query.cursor:
        return start
    group = query.group(query.cursor)
    cursor = (group or query.cursor).decode("utf-8", "replace")
    return max(start, cursor if group is None else _past(cursor), key=str.encode)


def _hidden(wire: Wire, text: str, is_group: bool) -> bool:
    """Return whether an entry is ours, or a group of nothing but ours."""
    if text.startswith(RESERVED):
        return True
    if not is_group or not RESERVED.startswith(text):
        return False
    first = _ask(wire, text, "", "", 1).keys
    if first and not first[0].startswith(RESERVED):
        return False
    return not _ask(wire, text, "", _RESERVED_END, 1).keys


def look(objects: S3Objects, keys: Sequence[str], query: ListQuery) -> list[R2Object]:
    """Return the objects of *keys* that are there, with the metadata *query* includes."""
    found = (objects.head(key) for key in keys)
    return [_listed(item, query) for item in found if item is not None]


def _listed(found: Found, query: ListQuery) -> R2Object:
    facts = replace(
        found.facts,
        http=found.facts.http if query.http_metadata else R2HttpMetadata(),
        custom=found.facts.custom if query.custom_metadata else {},
    )
    return facts.to_object(found.key, found.size)
