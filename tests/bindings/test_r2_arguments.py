"""Wrong arguments: what each one is answered, before anything is touched."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from r2.contract import FixedLengthStream, R2Bucket, R2Error, R2Object
from tests.bindings.r2_adapters import OPENERS, Clock

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 -- that it is naive is the point
AWARE = datetime(2026, 1, 1, tzinfo=UTC)
# Measured: the last millisecond is 9223372036854, in 2262, and the first as far back.
LATE = datetime(2262, 4, 11, 23, 47, 16, 855_000, tzinfo=UTC)
EARLY = datetime(1677, 9, 20, tzinfo=UTC)


@pytest.fixture(params=sorted(OPENERS))
async def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[R2Bucket]:
    """A bucket of every adapter, with one object."""
    opened = await OPENERS[request.param](tmp_path / "bucket", Clock())
    await opened.put("k", "0123456789")
    yield opened
    await opened.close()


PUTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "only_if is text": ({"only_if": "x"}, TypeError, "only_if is a mapping, not str."),
    "unknown condition": ({"only_if": {"etag_match": "x"}}, TypeError, "no field 'etag_match'"),
    "condition in camel case": ({"only_if": {"etagMatches": "x"}}, TypeError, "'etagMatches'"),
    "condition beside a slip": ({"only_if": {"etag_matches": "x", "a": 1}}, TypeError, "'a'"),
    "condition with number names": ({"only_if": {1: "x"}}, TypeError, "names of type str"),
    "header of bytes": ({"only_if": {"if-match": b"x"}}, TypeError, "'if-match' is a str"),
    "etag of bytes": ({"only_if": {"etag_matches": b"x"}}, TypeError, "An etag is a str"),
    "naive moment": ({"only_if": {"uploaded_after": NAIVE}}, TypeError, "with a time zone"),
    "moment as number": ({"only_if": {"uploaded_before": 5}}, TypeError, "with a time zone"),
    "moment too late": ({"only_if": {"uploaded_after": LATE}}, TypeError, "dates after 2189"),
    "moment too early": ({"only_if": {"uploaded_before": EARLY}}, TypeError, "dates before 1687"),
    "granularity": ({"only_if": {"seconds_granularity": 1}}, TypeError, "is a bool"),
    "if-none-match": ({"only_if": {"if-none-match": "x"}}, ValueError, "in if-none-match header"),
    "md5 of bytes": ({"md5": b"x"}, TypeError, "MD5 is 16 bytes, not 1"),
    "sha1 too short": ({"sha1": "ab"}, TypeError, "SHA-1 is 40 hex characters, not 2"),
    "sha256 with blanks": ({"sha256": "a " * 32}, TypeError, "SHA-256 wasn't a valid hex"),
    "sha384 of int": ({"sha384": 5}, TypeError, "sha384 is a hex str or bytes, not int."),
    "sha512 of bytes": ({"sha512": b""}, TypeError, "SHA-512 is 64 bytes, not 0"),
    "storage class": ({"storage_class": 1}, TypeError, "storage_class is a str"),
    "http is text": ({"http_metadata": "x"}, TypeError, "http_metadata is a mapping"),
    "http unknown": ({"http_metadata": {"contentType": "x"}}, TypeError, "'contentType'"),
    "http of int": ({"http_metadata": {"content_type": 5}}, TypeError, "content_type is a str"),
    "naive expiry": ({"http_metadata": {"cache_expiry": NAIVE}}, TypeError, "with a time zone"),
    "late expiry": ({"http_metadata": {"cache_expiry": LATE}}, TypeError, "dates after 2189"),
    "custom is list": ({"custom_metadata": ["x"]}, TypeError, "custom_metadata is a mapping"),
    "custom name": ({"custom_metadata": {1: "x"}}, TypeError, "name is a str, not int"),
    "custom value": ({"custom_metadata": {"a": {}}}, TypeError, "value is a str, not dict"),
}


@pytest.mark.parametrize("case", PUTS)
async def test_a_wrong_put_is_refused_and_stores_nothing(bucket: R2Bucket, case: str) -> None:
    """
    Each wrong option of put has its error, and the object stays as it was.
    """
    options, error, text = PUTS[case]
    before = await bucket.head("k")

    with pytest.raises(error) as caught:
        await bucket.put("k", "new", **options)

    assert text in str(caught.value)
    assert await bucket.head("k") == before


OTHERS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "key of int": ("get", (5,), {}, TypeError, "An object key is a str, not int."),
    "key with half a character": ("put", ("\ud800", ""), {}, R2Error, "put: .*10020"),
    "range is text": ("get", ("k",), {"range": "x"}, TypeError, "range is a mapping"),
    "range of text": ("get", ("k",), {"range": {"offset": "1"}}, TypeError, "numbers, not str"),
    "range of bool": ("get", ("k",), {"range": {"offset": True}}, TypeError, "numbers, not bool"),
    "suffix with length": (
        *("get", ("k",), {"range": {"suffix": 1, "length": 1}}),
        *(TypeError, "Suffix is incompatible with length."),
    ),
    "negative length": (
        *("get", ("k",), {"range": {"length": -2}}),
        *(ValueError, r"Invalid range. Length \(-2\) must be greater than or equal to 0."),
    ),
    "negative suffix": (
        *("get", ("k",), {"range": {"suffix": -1}}),
        *(ValueError, r"Invalid suffix. Suffix \(-1\) must be greater than or equal to 0."),
    ),
    "fraction of a suffix": (
        *("get", ("k",), {"range": {"suffix": 0.5}}),
        *(ValueError, r"Invalid range. Suffix \(0.5\) must be an integer, not floating point."),
    ),
    "limit of text": ("list", (), {"limit": "5"}, TypeError, "limit is an int, not str."),
    "prefix of bytes": ("list", (), {"prefix": b"a"}, TypeError, "prefix is a str, not bytes."),
    "cursor of int": ("list", (), {"cursor": 5}, TypeError, "cursor is a str, not int."),
    "include of text": ("list", (), {"include": "x"}, TypeError, "include is a list of words"),
    "delete of bytes": ("delete", (b"k",), {}, TypeError, "a key or a list of keys, not bytes"),
    "delete of ints": ("delete", ([1],), {}, TypeError, "An object key is a str, not int."),
}


@pytest.mark.parametrize("case", OTHERS)
async def test_a_wrong_call_is_refused(bucket: R2Bucket, case: str) -> None:
    """
    Each wrong argument of the other methods has its error.
    """
    method, arguments, options, error, text = OTHERS[case]

    with pytest.raises(error, match=text):
        await getattr(bucket, method)(*arguments, **options)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (5, "complete takes a list of parts, not int."),
        ([5], "A part is an R2UploadedPart, not int."),
        ([{"part_number": "1", "etag": "x"}], "A part has a part_number"),
        ([{"part_number": 1}], "A part has a part_number"),
    ],
)
async def test_wrong_parts_are_refused(bucket: R2Bucket, parts: Any, text: str) -> None:
    """
    complete() takes parts and nothing else.
    """
    upload = await bucket.create_multipart_upload("mp")

    with pytest.raises(TypeError, match=text):
        await upload.complete(parts)
    with pytest.raises(TypeError, match="A part number is an int"):
        await upload.upload_part("1", "")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a key and an upload id"):
        bucket.resume_multipart_upload("mp", 5)  # type: ignore[arg-type]


async def test_bodies_too_large_are_refused_before_they_are_read(bucket: R2Bucket) -> None:
    """
    A put or part that declares more than 5 GiB minus 5 MiB answers 100100 at once.
    """

    asked: list[bool] = []

    async def body_of_lies() -> AsyncIterator[bytes]:
        asked.append(True)
        yield b""

    body = FixedLengthStream(body_of_lies(), 5 * 1024**3 - 5 * 1024**2 + 1)
    upload = await bucket.create_multipart_upload("mp")

    with pytest.raises(R2Error, match=r"put: Your proposed upload exceeds .* \(100100\)"):
        await bucket.put("k", body)
    with pytest.raises(R2Error, match=r"uploadPart: .* \(100100\)"):
        await upload.upload_part(1, body)
    assert asked == []


@pytest.mark.parametrize("length", [-1, 1.0, True, None, "5"])
def test_a_stream_declares_a_whole_number(length: Any) -> None:
    """
    A length that is no whole number from 0 is a TypeError where the stream is made.
    """

    async def empty() -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(TypeError, match="integer length"):
        FixedLengthStream(empty(), length)


async def test_a_stream_of_anything_but_bytes_is_refused(bucket: R2Bucket) -> None:
    """
    Chunks of text are a TypeError, and nothing is stored.
    """

    async def texts() -> AsyncIterator[Any]:
        yield "text"

    with pytest.raises(TypeError, match="A stream yields bytes"):
        await bucket.put("new", FixedLengthStream(texts(), 4))
    assert await bucket.head("new") is None


async def test_unreadable_dates_in_headers_are_ignored(bucket: R2Bucket) -> None:
    """
    RFC 9110: a recipient ignores a conditional date it cannot read, and so a bad Expires.
    """
    headers = {"If-Modified-Since": "yesterday", "If-Unmodified-Since": "99 Foo 0 0", "Expires": ""}

    found = await bucket.get("k", only_if=headers)
    stored = await bucket.put("k", "", http_metadata=headers)

    assert type(found) is not R2Object
    assert stored is not None
    assert stored.http_metadata.cache_expiry is None


async def test_values_of_custom_metadata_are_written_as_javascript_writes_them(
    bucket: R2Bucket,
) -> None:
    """
    Numbers, booleans and None become the texts String() makes of them.
    """
    values = {"a": 1, "b": 1.0, "c": 1.5, "d": True, "e": False, "f": None, "g": "é"}
    stored = await bucket.put("k", "", custom_metadata=values)

    assert stored is not None
    assert list(stored.custom_metadata.values()) == ["1", "1", "1.5", "true", "false", "null", "é"]


async def test_moments_are_compared_to_the_millisecond(bucket: R2Bucket) -> None:
    """
    uploaded_before and uploaded_after exclude the very moment, unless in seconds it differs.
    """
    found = await bucket.head("k")
    assert found is not None

    async def passes(**condition: Any) -> bool:
        return type(await bucket.get("k", only_if=condition)) is not R2Object

    assert not await passes(uploaded_before=found.uploaded)
    assert not await passes(uploaded_after=found.uploaded)
    later = found.uploaded.replace(microsecond=999_000)
    assert await passes(uploaded_before=later)
    assert not await passes(uploaded_before=later, seconds_granularity=True)


def test_an_error_survives_pickling() -> None:
    """
    verb, text and code are still there on the other side of a process boundary.
    """
    error = R2Error("put", "No.", 10001)
    copy = pickle.loads(pickle.dumps(error))

    assert (copy.verb, copy.text, copy.code, str(copy)) == ("put", "No.", 10001, str(error))
