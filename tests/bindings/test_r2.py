"""
The parity checks of bindings.md H4 on every R2 adapter, and what goes beyond them:
streams, concurrency, readers during a write, the smaller refusals.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from r2.contract import FixedLengthStream, R2Bucket, R2Error, R2Object, R2ObjectBody
from tests.bindings.r2_adapters import OPENERS, START, Clock
from tests.bindings.r2_s3_differences import FAITHFUL

MIB = 1024 * 1024
UPLOADED = datetime.fromtimestamp(START, UTC)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture(params=sorted(OPENERS))
async def bucket(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[R2Bucket]:
    """An empty bucket of every adapter."""
    opened = await OPENERS[request.param](tmp_path / "bucket", clock)
    yield opened
    await opened.close()


@pytest.fixture(params=FAITHFUL)
async def faithful(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[R2Bucket]:
    """An empty bucket of every adapter whose store has all of R2 (see r2_s3_differences)."""
    opened = await OPENERS[request.param](tmp_path / "bucket", clock)
    yield opened
    await opened.close()


async def read(bucket: R2Bucket, key: str, **options: Any) -> bytes:
    """Return the bytes of an object that is there."""
    found = await bucket.get(key, **options)
    assert isinstance(found, R2ObjectBody)
    return await found.bytes()


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield *chunks*."""
    for chunk in chunks:
        yield chunk


def pattern(size: int) -> bytes:
    """Return *size* bytes in which every position differs from its neighbours."""
    return (b"".join(i.to_bytes(4, "big") for i in range(size // 4 + 1)))[:size]


async def test_put_tells_what_it_stored(bucket: R2Bucket) -> None:
    """
    H4 86: size, MD5 etag, its quoted form, checksum, version and time of upload.
    """
    stored = await bucket.put("k", "v1")

    assert stored is not None
    md5 = hashlib.md5(b"v1").digest()
    assert (2, md5.hex(), f'"{md5.hex()}"') == (stored.size, stored.etag, stored.http_etag)
    assert md5 == stored.checksums.md5
    assert stored.custom_metadata == {}
    assert stored.uploaded == UPLOADED
    assert not isinstance(stored, R2ObjectBody)


async def test_metadata_may_be_handed_on_from_object_to_object(bucket: R2Bucket) -> None:
    """
    The http_metadata, range and body of an object that was got fit a put and a get.
    """
    body = pattern(600_000)
    await bucket.put("a", body, http_metadata={"content_type": "x/y"})
    found = await bucket.get("a", range={"offset": 5})
    assert isinstance(found, R2ObjectBody)

    copied = await bucket.put("b", found.body, http_metadata=found.http_metadata)

    assert copied is not None
    assert copied.http_metadata.content_type == "x/y"
    assert body[5:] == await read(bucket, "b")
    assert body[5:] == await read(bucket, "a", range=found.range)
    with pytest.raises(TypeError, match="Body has already been used"):
        await found.bytes()


async def test_a_header_value_with_a_line_break_is_not_written(bucket: R2Bucket) -> None:
    """
    R2 keeps any text as content type; writing it into headers is refused, all of it.
    """
    await bucket.put("k", "", http_metadata={"content_type": "a\r\nb: c", "cache_control": "x"})
    found = await bucket.head("k")
    headers: dict[str, str] = {}

    assert found is not None
    with pytest.raises(TypeError, match="content-type"):
        found.write_http_metadata(headers)
    assert headers == {}


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 2_000_000])
async def test_bodies_of_every_size_come_back(bucket: R2Bucket, size: int) -> None:
    """
    What was put as bytes, as a stream of odd chunks and as text is read whole and in chunks.
    """
    data = pattern(size)
    await bucket.put("bytes", data)
    chunks = [data[i : i + 77_777] for i in range(0, size, 77_777)]
    streamed = await bucket.put("stream", FixedLengthStream(stream(*chunks), size))

    assert streamed is not None
    assert hashlib.md5(data).hexdigest() == streamed.etag
    assert data == await read(bucket, "bytes")
    found = await bucket.get("stream")
    assert isinstance(found, R2ObjectBody)
    received = [chunk async for chunk in found.body]
    assert data == b"".join(received)
    assert all(0 < len(chunk) <= 256 * 1024 for chunk in received)
    assert found.body_used


@pytest.mark.parametrize("length", [10, 256 * 1024, 300_000])
async def test_a_range_ends_where_it_should(bucket: R2Bucket, length: int) -> None:
    """
    A range in the middle of a large object has its own bytes, whole and in chunks.
    """
    data = pattern(900_000)
    await bucket.put("k", data)
    wanted = {"offset": 777, "length": length}
    found = await bucket.get("k", range=wanted)
    assert isinstance(found, R2ObjectBody)

    assert b"".join([chunk async for chunk in found.body]) == data[777 : 777 + length]
    assert await read(bucket, "k", range=wanted) == data[777 : 777 + length]
    assert found.body.length == length


@pytest.mark.parametrize("length", [3, 5, 400_000])
async def test_a_stream_of_another_length_stores_nothing(bucket: R2Bucket, length: int) -> None:
    """
    Fewer or more bytes than declared: TypeError, and the old object stays.
    """
    await bucket.put("k", "old")

    with pytest.raises(TypeError, match="FixedLengthStream"):
        await bucket.put("k", FixedLengthStream(stream(b"ab", b"cd"), length))

    assert await read(bucket, "k") == b"old"


async def test_a_stream_that_breaks_stores_nothing(bucket: R2Bucket) -> None:
    """
    The error of the source reaches the caller, and the old object stays.
    """

    async def breaking() -> AsyncIterator[bytes]:
        yield pattern(300_000)
        yield pattern(300_000)
        raise ConnectionError("gone")

    await bucket.put("k", "old")
    with pytest.raises(ConnectionError):
        await bucket.put("k", FixedLengthStream(breaking(), 900_000))

    assert await read(bucket, "k") == b"old"


async def test_bytes_are_taken_at_the_call(bucket: R2Bucket) -> None:
    """
    A bytearray changed after the call began does not change the object.
    """
    data = bytearray(b"before")
    putting = asyncio.ensure_future(bucket.put("k", data))
    await asyncio.sleep(0)
    data[:] = b"after!"
    await putting

    assert await read(bucket, "k") == b"before"


async def test_exactly_one_of_many_creates_wins(bucket: R2Bucket) -> None:
    """
    H4 97: of 20 parallel create-only puts one succeeds, and its bytes are the object's.
    """
    create = {"etag_does_not_match": "*"}
    bodies = [f"{i}" * 1000 for i in range(20)]

    results = await asyncio.gather(*(bucket.put("k", b, only_if=create) for b in bodies))

    winners = [i for i, result in enumerate(results) if result is not None]
    assert len(winners) == 1
    assert bodies[winners[0]].encode() == await read(bucket, "k")


async def test_exactly_one_of_many_replacements_wins(bucket: R2Bucket) -> None:
    """
    Of 20 parallel puts that all name the same etag, one replaces the object.
    """
    first = await bucket.put("k", "0")
    assert first is not None
    same = {"etag_matches": first.etag}

    puts = (bucket.put("k", pattern(300_000 + i), only_if=same) for i in range(20))
    results = await asyncio.gather(*puts)

    stored = [result for result in results if result is not None]
    assert len(stored) == 1
    assert stored[0].size == len(await read(bucket, "k"))


@pytest.mark.parametrize("change", ["overwrite", "delete"])
@pytest.mark.parametrize("size", [1000, 3 * MIB])
async def test_a_reader_keeps_its_bytes(bucket: R2Bucket, change: str, size: int) -> None:
    """
    A body that was got is read to its end though the object is replaced or removed.
    """
    data = pattern(size)
    await bucket.put("k", data)
    found = await bucket.get("k")
    assert isinstance(found, R2ObjectBody)
    chunks = aiter(found.body)
    received = [await anext(chunks)]

    await (bucket.delete("k") if change == "delete" else bucket.put("k", "new"))
    received += [chunk async for chunk in chunks]

    assert data == b"".join(received)


async def test_readers_and_writers_of_one_key_never_meet_half_an_object(faithful: R2Bucket) -> None:
    """
    While a key is overwritten again and again every get returns one whole version.
    """
    versions = [bytes([i]) * (300_000 + i) for i in range(12)]
    await faithful.put("k", versions[0])

    async def write() -> None:
        for version in versions:
            await faithful.put("k", version)

    writing = asyncio.ensure_future(write())
    seen = set()
    while not writing.done():
        seen.add(await read(faithful, "k"))
    await writing

    assert seen <= set(versions)


async def test_conditions_combine_as_in_http(bucket: R2Bucket, clock: Clock) -> None:
    """
    H4 102: an etag rule that passes overrules the time that belongs to it, and only that.
    """
    stored = await bucket.put("k", "v")
    assert stored is not None
    future, past = UPLOADED + timedelta(days=1), UPLOADED - timedelta(days=1)

    async def passes(**condition: Any) -> bool:
        return isinstance(await bucket.get("k", only_if=condition), R2ObjectBody)

    assert await passes(etag_does_not_match="x", uploaded_after=future)
    assert await passes(etag_matches=stored.etag, uploaded_before=past)
    assert not await passes(etag_does_not_match="x", uploaded_before=past)
    assert not await passes(etag_matches=stored.etag, uploaded_after=future)
    assert not await passes(etag_matches=stored.etag, etag_does_not_match=stored.etag)


async def test_a_failed_get_condition_comes_before_the_range(bucket: R2Bucket) -> None:
    """
    An object whose condition fails is returned bare though the range is unsatisfiable.
    """
    await bucket.put("k", "v")

    found = await bucket.get("k", only_if={"etag_matches": "x"}, range={"offset": 100})

    assert type(found) is R2Object


async def test_real_request_headers_serve_as_condition_range_and_metadata(
    bucket: R2Bucket,
) -> None:
    """
    A whole set of request headers is read as headers, whatever else is in it.
    """
    headers = {"Host": "example", "offset": "7", "etag_matches": "x", "Range": "bytes=1-2"}
    stored = await bucket.put("k", "0123", http_metadata=headers | {"Content-Type": "a/b"})
    assert stored is not None
    headers["If-None-Match"] = f'"other", W/"{stored.etag}"'

    assert stored.http_metadata.content_type == "a/b"
    assert await read(bucket, "k", range=headers) == b"12"
    assert not isinstance(await bucket.get("k", only_if=headers), R2ObjectBody)


async def test_deleting_takes_lists_and_forgets_only_what_it_names(bucket: R2Bucket) -> None:
    """
    H4 116: 1000 keys in one call; others stay; generators are lists too.
    """
    await asyncio.gather(*(bucket.put(f"k{i}", "") for i in range(5)))

    await bucket.delete(f"k{i}" for i in [*range(1, 4), *range(100, 1097)])

    assert [item.key for item in (await bucket.list()).objects] == ["k0", "k4"]


async def test_metadata_in_a_list_shortens_its_pages(bucket: R2Bucket) -> None:
    """
    H4 114: with include a page holds at most 100; looping on truncated finds all.
    """
    await asyncio.gather(*(bucket.put(f"{i:03}", "", custom_metadata={"i": i}) for i in range(120)))

    first = await bucket.list(include=["custom_metadata"])
    second = await bucket.list(include=["custom_metadata"], cursor=first.cursor)

    assert (len(first.objects), len(second.objects)) == (100, 20)
    assert (first.truncated, second.truncated) == (True, False)
    assert first.objects[7].custom_metadata == {"i": "7"}
    assert first.objects[7].http_metadata.content_type is None


async def test_an_upload_in_parts_becomes_one_object(faithful: R2Bucket, clock: Clock) -> None:
    """
    H4 117, 121: invisible before complete; etag by S3's rule; replaced parts are gone;
    a range reaches across parts; it replaces what was there.
    """
    await faithful.put("mp", "old")
    upload = await faithful.create_multipart_upload("mp", custom_metadata={"q": "1"})
    parts = [pattern(5 * MIB), bytes(5 * MIB), b"tail"]
    await upload.upload_part(2, pattern(100))
    done = [await upload.upload_part(i, part) for i, part in enumerate(parts, 1)]
    assert await read(faithful, "mp") == b"old"
    clock.now += 60

    resumed = faithful.resume_multipart_upload("mp", upload.upload_id)
    stored = await resumed.complete([{"part_number": p.part_number, "etag": p.etag} for p in done])

    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert f"{hashlib.md5(digests).hexdigest()}-3" == stored.etag
    assert UPLOADED + timedelta(minutes=1) == stored.uploaded
    assert stored.custom_metadata == {"q": "1"}
    whole = b"".join(parts)
    assert whole == await read(faithful, "mp")
    across = {"offset": 10 * MIB - 2, "length": 4}
    assert await read(faithful, "mp", range=across) == b"\0\0ta"


async def test_a_part_may_be_a_stream_and_only_a_body(bucket: R2Bucket) -> None:
    """
    A part comes as a stream of known length; None is no part, unlike in put.
    """
    upload = await bucket.create_multipart_upload("mp")
    body = FixedLengthStream(stream(b"ab", b"", b"c"), 3)

    stored = await upload.complete([await upload.upload_part(1, body)])

    assert stored.size == 3
    with pytest.raises(TypeError, match="'uploadPart' on 'R2MultipartUpload'"):
        await upload.upload_part(1, None)


async def test_a_refused_complete_leaves_the_upload_open(faithful: R2Bucket) -> None:
    """
    After a refusal the right list of parts still completes the upload.
    """
    upload = await faithful.create_multipart_upload("mp")
    parts = [await upload.upload_part(i, "x") for i in (1, 2)]
    with pytest.raises(R2Error, match=r"\(10011\)"):
        await upload.complete(parts)

    assert (await upload.complete(parts[:1])).size == 1


async def test_only_one_of_two_completes_wins(bucket: R2Bucket) -> None:
    """
    An upload completed twice at once makes one object; the other call learns it ended.
    """
    upload = await bucket.create_multipart_upload("mp")
    part = await upload.upload_part(1, pattern(300_000))

    results = await asyncio.gather(
        *(upload.complete([part]) for _ in range(4)), return_exceptions=True
    )

    errors = [result for result in results if isinstance(result, R2Error)]
    assert [error.code for error in errors] == [10024] * 3
    assert len(await read(bucket, "mp")) == 300_000


async def test_every_verb_refuses_a_long_key_under_its_own_name(bucket: R2Bucket) -> None:
    """
    H4 90, 122: "<verb>: The specified object name is not valid. (10020)".
    """
    key = "é" * 513
    calls = {
        "put": bucket.put(key, ""),
        "get": bucket.get(key),
        "head": bucket.head(key),
        "delete": bucket.delete(["ok", key]),
        "createMultipartUpload": bucket.create_multipart_upload(key),
        "uploadPart": bucket.resume_multipart_upload(key, "x").upload_part(1, ""),
        "completeMultipartUpload": bucket.resume_multipart_upload(key, "x").complete([]),
        "abortMultipartUpload": bucket.resume_multipart_upload(key, "x").abort(),
    }
    for verb, call in calls.items():
        with pytest.raises(R2Error) as caught:
            await call
        assert f"{verb}: The specified object name is not valid. (10020)" == str(caught.value)


async def test_complete_of_an_upload_that_never_was_is_an_internal_error(
    bucket: R2Bucket,
) -> None:
    """
    H4 120: complete with an unknown id answers 10001, not 10024.
    """
    with pytest.raises(R2Error, match=r"completeMultipartUpload: .* \(10001\)"):
        await bucket.resume_multipart_upload("mp", "nope").complete([])
