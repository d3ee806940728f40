"""Lists of objects against the simplest model: sort, group, cut."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from r2.embedded import open_bucket
from r2.listing import ListQuery, Page, beyond, decode_cursor, encode_cursor, fill_page

# Few letters, so that prefixes, delimiters and groups meet; some beyond ASCII and the BMP.
TEXTS = st.text("ab/é\uffff𝒳", max_size=5)
KEYS = st.sets(TEXTS, max_size=25)


def model(
    keys: set[str], prefix: str, delimiter: str, start_after: str | None
) -> list[tuple[str, str]]:
    """Return everything a list shows, in order: ("key" or "group", text)."""
    shown: dict[str, str] = {}
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        if start_after is not None and key.encode() <= start_after.encode():
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            shown[prefix + rest[: rest.index(delimiter) + len(delimiter)]] = "group"
        else:
            shown[key] = "key"
    return [(kind, text) for text, kind in shown.items()]


def entries(page: Page[str]) -> list[tuple[str, str]]:
    """Return the content of a page in order."""
    both = [("key", row) for row in page.rows]
    both += [("group", group.decode()) for group in page.groups]
    return sorted(both, key=lambda entry: entry[1].encode())


@given(
    keys=KEYS,
    prefix=TEXTS,
    delimiter=st.text("ab/é", max_size=2),
    start_after=st.none() | TEXTS,
    limit=st.integers(1, 8),
)
@settings(max_examples=300)
def test_pages_put_together_are_the_whole_list(
    keys: set[str], prefix: str, delimiter: str, start_after: str | None, limit: int
) -> None:
    """
    Following the cursors shows what the model shows, each once, in order; every page but
    the last is full, and only the last has no cursor.
    """
    ordered = [(key, key.decode()) for key in sorted(key.encode() for key in keys)]
    end = beyond(prefix.encode())

    def scan(lowest: bytes, wanted: int) -> list[tuple[bytes, str]]:
        fits = [row for row in ordered if row[0] >= lowest and (end is None or row[0] < end)]
        return fits[:wanted]

    shown: list[tuple[str, str]] = []
    cursor: str | None = None
    while True:
        query = ListQuery(
            limit=limit,
            prefix=prefix.encode(),
            delimiter=delimiter.encode(),
            start_after=None if start_after is None else start_after.encode(),
            cursor=decode_cursor(cursor),
        )
        page = fill_page(query, scan)
        shown += entries(page)
        cursor = page.cursor
        if cursor is None:
            break
        assert len(entries(page)) == limit

    assert shown == model(keys, prefix, delimiter, start_after)


@given(st.lists(st.tuples(KEYS, TEXTS, st.sampled_from(["", "/", "a/"])), min_size=3, max_size=3))
@settings(max_examples=15, deadline=None)
def test_a_bucket_lists_as_the_model_does(rounds: list[tuple[set[str], str, str]]) -> None:
    """
    The same through a real bucket: puts and deletes, then pages of two.
    """

    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            dice = random.Random(1).randbytes
            bucket = await open_bucket(Path(folder), clock=lambda: 0.0, random_bytes=dice)
            there: set[str] = set()
            for keys, prefix, delimiter in rounds:
                await bucket.delete(there - keys)
                await asyncio.gather(*(bucket.put(key, key) for key in keys))
                there = keys
                options = {"prefix": prefix, "delimiter": delimiter, "limit": 2}
                shown: list[tuple[str, str]] = []
                cursor = None
                while True:
                    page = await bucket.list(cursor=cursor, **options)  # type: ignore[arg-type]
                    rows = Page([item.key for item in page.objects])
                    rows.groups = [group.encode() for group in page.delimited_prefixes]
                    shown += entries(rows)
                    if not page.truncated:
                        break
                    cursor = page.cursor
                assert shown == model(keys, prefix, delimiter, None)
            await bucket.close()

    asyncio.run(play())


@given(st.binary(max_size=40))
def test_cursors_lose_nothing(last: bytes) -> None:
    """
    A cursor gives back where it stands; any other text stands at the start.
    """
    assert decode_cursor(encode_cursor(last)) == last
    assert decode_cursor(encode_cursor(last) + "!") == b""
