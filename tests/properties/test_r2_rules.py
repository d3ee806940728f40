"""Ranges, conditions, checksums and metadata of objects, for all inputs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2.checksums import Digester, R2Checksums, parse_checksum
from r2.conditions import Condition, parse_condition
from r2.errors import R2Error
from r2.headers import from_milliseconds, to_milliseconds
from r2.limits import check_custom_metadata
from r2.objects import R2HttpMetadata, parse_http_metadata
from r2.ranges import R2Range, parse_range

SMALL = st.integers(0, 12)
ETAGS = st.sampled_from(["a", "b", "c"])
MOMENTS = st.integers(0, 4000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span(given: dict[str, Any], size: int) -> R2Range:
    """Return the bytes a range means in an object of *size*."""
    parsed = parse_range(given)
    return R2Range(0, size) if parsed is None else parsed.resolve(size)


def cut(data: bytes, wanted: R2Range) -> bytes:
    """Return the bytes *wanted* names; they must all be there."""
    piece = data[wanted.offset : wanted.offset + wanted.length]
    assert len(piece) == wanted.length
    return piece


@given(size=SMALL, offset=st.none() | SMALL, length=st.none() | SMALL)
def test_offset_and_length_cut_like_a_slice(
    size: int, offset: int | None, length: int | None
) -> None:
    """
    offset and length mean a slice; an empty one is refused, none of both means all.
    """
    data = bytes(range(size))
    start = offset or 0
    expected = data[start : None if length is None else start + length]
    asked = {"offset": offset, "length": length}

    if expected or (offset is None and length is None):
        assert cut(data, span(asked, size)) == expected
    else:
        with pytest.raises(R2Error, match="10039"):
            span(asked, size)


@given(size=SMALL, suffix=SMALL)
def test_suffix_cuts_the_end(size: int, suffix: int) -> None:
    """
    suffix means the last bytes, all of them when it is larger; nothing is refused.
    """
    data = bytes(range(size))
    expected = data[max(size - suffix, 0) :]

    if expected:
        assert cut(data, span({"suffix": suffix}, size)) == expected
    else:
        with pytest.raises(R2Error, match="10039"):
            span({"suffix": suffix}, size)


@given(size=SMALL, first=st.none() | SMALL, last=st.none() | SMALL, name=st.sampled_from("Rr"))
def test_a_range_header_means_what_it_means_in_http(
    size: int, first: int | None, last: int | None, name: str
) -> None:
    """
    bytes=first-last is inclusive; what cannot be satisfied means the whole object.
    """
    data = bytes(range(size))
    text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    expected = data[first : None if last is None else last + 1]
    if first is None:
        expected = data[max(size - last, 0) :] if last is not None else data

    assert cut(data, span({f"{name}ange": text}, size)) == (expected or data)


@given(size=SMALL, text=st.text("bytes=0123456789-, ", max_size=12))
def test_any_text_in_a_range_header_gives_some_range(size: int, text: str) -> None:
    """
    A client's Range header never makes a get fail.
    """
    cut(bytes(size), span({"range": text}, size))


def holds_by_the_book(
    etag: str | None, uploaded: int, match: str | None, none: str | None, before: int, after: int
) -> bool:
    """Judge as bindings.md C3 words it; times below zero stand for none."""
    if etag is None:
        return match is None and after < 0
    matched = match is None or match in ("*", etag)
    unmatched = none is None or none not in ("*", etag)
    in_time = before < 0 or uploaded < before or (match is not None and matched)
    late = after < 0 or uploaded > after or (none is not None and unmatched)
    return matched and unmatched and in_time and late


@given(
    etag=st.none() | ETAGS,
    uploaded=MOMENTS,
    match=st.none() | ETAGS | st.just("*"),
    none=st.none() | ETAGS | st.just("*"),
    before=st.just(-1) | MOMENTS,
    after=st.just(-1) | MOMENTS,
    seconds=st.booleans(),
)
def test_conditions_hold_by_the_book_in_both_forms(
    etag: str | None,
    uploaded: int,
    match: str | None,
    none: str | None,
    before: int,
    after: int,
    seconds: bool,
) -> None:
    """
    Options and headers mean the same; headers, and options on request, count in seconds.
    """
    times = {
        "uploaded_before": None if before < 0 else from_milliseconds(before),
        "uploaded_after": None if after < 0 else from_milliseconds(after),
    }
    options = {"etag_matches": match, "etag_does_not_match": none, **times}
    parsed = parse_condition({**options, "seconds_granularity": seconds})
    unit = 1000 if seconds else 1
    rounded = (uploaded // unit, match, none, before // unit, after // unit)

    assert parsed is not None
    assert parsed.holds(etag, uploaded) == holds_by_the_book(etag, *rounded)
    if seconds:
        assert headers_of(options).holds(etag, uploaded) == parsed.holds(etag, uploaded)


def headers_of(options: dict[str, Any]) -> Condition:
    """Return the condition of the headers that say what *options* say."""
    names = ["If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since"]
    headers = {"X-Other": "1"}
    for name, value in zip(names, options.values(), strict=True):
        if isinstance(value, datetime):
            headers[name] = format_datetime(value, usegmt=True)
        elif value is not None:
            headers[name] = value if value == "*" else f'"{value}"'
    parsed = parse_condition(headers)
    assert parsed is not None
    return parsed


@given(strong=st.lists(ETAGS), weak=st.lists(ETAGS), etag=ETAGS, gap=st.sampled_from([",", " , ,"]))
def test_lists_of_etags_compare_strongly_and_weakly(
    strong: list[str], weak: list[str], etag: str, gap: str
) -> None:
    """
    If-Match counts strong etags only, If-None-Match weak ones too (RFC 9110 13.1).
    """
    tags = gap.join([f'"{tag}"' for tag in strong] + [f'W/"{tag}"' for tag in weak])
    if not tags:
        with pytest.raises(ValueError, match="Invalid ETag in if-match header"):
            parse_condition({"if-match": tags})
        return
    match, none = parse_condition({"if-match": tags}), parse_condition({"if-none-match": tags})

    assert match is not None
    assert none is not None
    assert match.holds(etag, 0) == (etag in strong)
    assert none.holds(etag, 0) == (etag not in strong + weak)


@given(text=st.text('W/"a*, ', max_size=10))
def test_an_etag_header_is_read_or_refused(text: str) -> None:
    """
    Any text is a list of etags or a ValueError, never another error.
    """
    message = ""
    try:
        parse_condition({"if-none-match": text})
    except ValueError as error:
        message = str(error)

    assert message in ("", "Invalid ETag in if-none-match header")


@given(data=st.binary(max_size=300), name=st.sampled_from(["md5", "sha1", "sha256", "sha512"]))
def test_checksums_do_not_depend_on_the_chunks(data: bytes, name: str) -> None:
    """
    In one piece or many the digests are the same, and the stated one is checked.
    """
    right = hashlib.new(name, data).digest()
    digester = Digester(parse_checksum({name: right.hex().upper()}))
    for i in range(0, len(data), 7):
        digester.update(data[i : i + 7])
    checksums = digester.finish()

    assert getattr(checksums, name) == right
    assert checksums.md5 == hashlib.md5(data).digest()
    assert R2Checksums.from_json(checksums.to_json()) == checksums
    digester.update(b"x")
    with pytest.raises(R2Error, match="10037"):
        digester.finish()


@given(
    texts=st.lists(st.none() | st.text(max_size=5), min_size=5, max_size=5),
    expiry=st.none() | st.timedeltas(timedelta(0), timedelta(days=9999)),
)
def test_http_metadata_survives_storing(texts: list[str | None], expiry: timedelta | None) -> None:
    """
    What a put takes is what a later read gives, moments in milliseconds.
    """
    fields: dict[str, Any] = dict(zip(R2HttpMetadata.__slots__, texts, strict=False))
    fields["cache_expiry"] = None if expiry is None else EPOCH + expiry
    metadata = parse_http_metadata(fields)

    assert R2HttpMetadata.from_json(metadata.to_json()) == metadata
    assert [getattr(metadata, name) for name in R2HttpMetadata.__slots__[:5]] == texts
    if expiry is not None:
        assert metadata.cache_expiry is not None
        assert timedelta(0) <= EPOCH + expiry - metadata.cache_expiry < timedelta(milliseconds=1)
        assert to_milliseconds(metadata.cache_expiry) == expiry // timedelta(milliseconds=1)


@given(st.dictionaries(st.text("aé", max_size=9), st.text("xĀ𝒳", max_size=9), max_size=3), SMALL)
def test_custom_metadata_is_weighed_text_by_text(metadata: dict[str, str], spare: int) -> None:
    """
    A text counts its UTF-16 units, twice when a character is U+0100 or above; 2048 fit.
    """
    texts = [*metadata, *metadata.values()]
    weights = [len(t.encode("utf-16-le")) // (1 if max(t, default="") > "ÿ" else 2) for t in texts]
    filler = 2048 - sum(weights) - 6

    assert check_custom_metadata("put", metadata | {"filler": "f" * filler})
    with pytest.raises(R2Error, match="10012"):
        check_custom_metadata("put", metadata | {"filler": "f" * (filler + 1 + spare)})
