"""
What the S3 adapter does besides the contract: how it starts, what it keeps where, what other
tools see, and what is swept.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from r2.contract import FixedLengthStream, R2Error, R2HttpMetadata, R2ObjectBody
from r2.minio import MinioBucket, S3OpenError, Timing, open_bucket, parse_address
from r2.s3_objects import S3Objects
from r2.s3_removal import sweep
from r2.s3_wire import Wire
from tests.bindings.r2_adapters import START, Clock
from tests.properties.test_r2_lists import model
from tests.support import s3_servers
from tests.support.ports import free_port
from worker.entry.config import ConfigError, load_config
from worker.entry.stores import Stores

MIB = 1024 * 1024
DAY = 24 * 3600
QUICK = Timing(connect=0.5, read=1, patience=3)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def name() -> str:
    """The bucket's name."""
    return s3_servers.fresh_name()


@pytest.fixture
async def bucket(clock: Clock, name: str) -> AsyncIterator[MinioBucket]:
    """An empty bucket on moto."""
    address = s3_servers.shared("moto").address()
    opened = await open_bucket(address, name, clock=clock, random_bytes=os.urandom)
    yield opened
    await opened.close()


@pytest.fixture
async def wire(bucket: MinioBucket, name: str) -> AsyncIterator[Wire]:
    """The same bucket as other tools see it."""
    theirs = Wire(s3_servers.shared("moto").address(), name, Timing())
    yield theirs
    await theirs.close()


async def refused(url: str, name: str = "bucket") -> str:
    """Return the sentence with which opening fails; it holds no secret."""
    with pytest.raises(S3OpenError) as caught:
        await open_bucket(
            parse_address(url), name, clock=Clock(), random_bytes=os.urandom, timing=QUICK
        )
    sentence = str(caught.value)
    for secret in (s3_servers.SECRET_KEY, s3_servers.QUOTED_SECRET, s3_servers.ACCESS_KEY):
        assert secret not in sentence
    return sentence


async def stream(data: bytes) -> AsyncIterator[bytes]:
    """Yield *data* in chunks."""
    for begin in range(0, len(data), 300_000):
        yield data[begin : begin + 300_000]


def raw(wire: Wire, key: str) -> Any:
    """Return the answer of the server to HEAD, as other tools see it."""
    return wire.request("HEAD", key).headers


def own_keys(wire: Wire) -> str:
    """Return the server's list of our own objects."""
    query = {"list-type": "2", "prefix": ".edgekeep/"}
    return wire.request("GET", query=query).data.decode()


async def test_wrong_keys_are_said_at_the_start() -> None:
    """A wrong secret and an unknown key end in a sentence that quotes neither."""
    url = s3_servers.shared("rclone").url

    for wrong in (
        url.replace(s3_servers.QUOTED_SECRET, "not-the-secret"),
        url.replace(s3_servers.ACCESS_KEY, "SOMEBODYELSESKEY"),
    ):
        assert "key" in await refused(wrong)


async def test_a_server_that_is_not_there_is_said_at_the_start() -> None:
    """Nothing listens: a sentence with host and port, soon."""
    port = free_port()

    sentence = await refused(f"s3://key:secret@127.0.0.1:{port}")

    assert f"127.0.0.1:{port}" in sentence
    assert "nothing answers" in sentence


async def test_a_wrong_protocol_is_said_at_the_start() -> None:
    """TLS to a server without it names the option to change."""
    assert "tls=off" in await refused(f"{s3_servers.shared('rclone').url}?tls=on")


async def test_something_else_than_s3_is_said_at_the_start() -> None:
    """A web server that is no S3 server is told apart."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert "not as an S3 server" in await refused(f"s3://key:secret@127.0.0.1:{port}")
    server.close()


async def test_large_metadata_is_kept(bucket: MinioBucket, name: str) -> None:
    """
    2048 characters that do not compress and six fields of HTTP metadata come back, from a
    get, a list and another host; S3's headers have no room for them.
    """
    custom = {"a": os.urandom(1000).hex(), "é": "ü" * 40}
    http = R2HttpMetadata("text/x", "de", 'attachment; filename="ä"', "gzip", "no-cache")
    for key, value in (
        ("small", b"body"),
        ("large", FixedLengthStream(stream(bytes(6 * MIB)), 6 * MIB)),
    ):
        stored = await bucket.put(key, value, custom_metadata=custom, http_metadata=http)
        assert stored is not None

        address = s3_servers.shared("moto").address(name)
        other = await open_bucket(address, "", clock=Clock(), random_bytes=os.urandom)
        found = await other.head(key)
        listed = (await other.list(prefix=key, include=["custom_metadata"])).objects[0]
        await other.close()

        assert found is not None
        assert (found.custom_metadata, found.http_metadata) == (custom, http)
        assert (found.etag, found.version) == (stored.etag, stored.version)
        assert (listed.custom_metadata, listed.checksums) == (custom, stored.checksums)


async def test_other_tools_see_plain_metadata(bucket: MinioBucket, wire: Wire) -> None:
    """
    Content-Type and plain custom metadata are S3's own headers; a body in one request has
    the MD5 as S3's etag.
    """
    moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    http = {"content_type": "text/css", "cache_expiry": moment, "content_encoding": "gzip"}
    stored = await bucket.put("k", "not gzip", http_metadata=http, custom_metadata={"a-b": "c d"})

    headers = raw(wire, "k")

    assert stored is not None
    assert headers["content-type"] == "text/css"
    assert headers["expires"] == "Wed, 02 Jan 2030 03:04:05 GMT"
    assert headers["x-amz-meta-a-b"] == "c d"
    assert headers["etag"] == stored.http_etag
    found = await bucket.get("k")
    assert isinstance(found, R2ObjectBody)
    assert (found.custom_metadata, await found.text()) == ({"a-b": "c d"}, "not gzip")


async def test_objects_of_other_tools_are_objects(bucket: MinioBucket, wire: Wire) -> None:
    """
    What another tool wrote has S3's etag, time and metadata, and a version that stays.
    """
    headers = {"Content-Type": "text/plain", "x-amz-meta-Colour": "red"}
    wire.request("PUT", "theirs", body=b"hello", headers=headers)
    wire.request(
        "PUT", "odd", body=b"x", headers={"x-amz-meta-edgekeep": "eJyrVipTslJQSlKyUqoFABeWA8c="}
    )

    found, again = await bucket.get("theirs"), await bucket.head("theirs")

    assert isinstance(found, R2ObjectBody)
    assert again is not None
    assert (await found.text(), found.etag) == ("hello", "5d41402abc4b2a76b9719d911017c592")
    assert found.http_metadata.content_type == "text/plain"
    assert found.custom_metadata == {"colour": "red"}
    assert (found.version, found.uploaded) == (again.version, again.uploaded)
    assert len(found.version) == 32
    assert await bucket.put("theirs", "new", only_if={"etag_matches": found.etag}) is not None
    assert (await bucket.head("odd")) is not None


async def test_our_own_objects_are_nobodys(bucket: MinioBucket, wire: Wire) -> None:
    """
    Sidecars and records show in no list, whatever prefix and delimiter, nor as keys.
    """
    await bucket.put(".a", "")
    await bucket.put(".z", "")
    await bucket.put("large", FixedLengthStream(stream(bytes(6 * MIB)), 6 * MIB))
    upload = await bucket.create_multipart_upload("mp")
    own = f".edgekeep/uploads/{upload.upload_id}"
    assert own in own_keys(wire)
    assert ".edgekeep/objects/" in own_keys(wire)

    assert [item.key for item in (await bucket.list()).objects] == [".a", ".z", "large"]
    assert (await bucket.list(prefix=".edgekeep/")).objects == []
    for delimiter in ("/", "e", "k", "."):
        page = await bucket.list(delimiter=delimiter)
        shown = [item.key for item in page.objects] + page.delimited_prefixes
        assert not any(key.startswith(".e") for key in shown), delimiter
    pages = [await bucket.list(limit=1)]
    while pages[-1].truncated:
        pages.append(await bucket.list(limit=1, cursor=pages[-1].cursor))
    assert [item.key for page in pages for item in page.objects] == [".a", ".z", "large"]

    assert await bucket.head(own) is None
    assert await bucket.get(own) is None
    await bucket.delete([own])
    for call in (bucket.put(own, ""), bucket.create_multipart_upload(own), bucket.put("", "")):
        with pytest.raises(R2Error, match=r"\(10020\)"):
            await call
    await bucket.put(".edgy", "")
    assert (await bucket.list(delimiter="g")).delimited_prefixes == [".edg", "larg"]
    assert own in own_keys(wire)


async def test_pages_of_the_server_put_together_are_the_list(
    bucket: MinioBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever prefix, delimiter, start and limit: following the cursors shows what the model
    shows, each once and in order, though the server's own pages are short.
    """
    monkeypatch.setattr("r2.s3_listing._AT_LEAST", 1)
    # moto pages in the order of escaped names: letters of ASCII only.
    keys = {"a", "a/", "a/b", "a/b/c", "a//", "az", "b/1", "b/2", "b/2/x", ".e", ".edgekeep", "zz"}
    await asyncio.gather(*(bucket.put(key, "") for key in keys))
    upload = await bucket.create_multipart_upload("mp")
    queries = itertools.product(
        ["", "a", "b/", "."], ["", "/", "z", "a/"], [None, "a/b"], [1, 2, 5]
    )
    for prefix, delimiter, start_after, limit in queries:
        shown: list[tuple[str, str]] = []
        cursor = None
        while True:
            page = await bucket.list(
                prefix=prefix,
                delimiter=delimiter,
                start_after=start_after,
                limit=limit,
                cursor=cursor,
            )
            entries = [("key", item.key) for item in page.objects]
            entries += [("group", group) for group in page.delimited_prefixes]
            assert len(entries) <= limit
            shown += sorted(entries, key=lambda entry: entry[1].encode())
            cursor = page.cursor
            if not page.truncated:
                break
        assert shown == model(keys, prefix, delimiter, start_after), (prefix, delimiter, limit)
    await upload.abort()


@pytest.mark.parametrize("key", ["a/../b//c é😀", "./x", "a/..", "/", "a b+c%2F?&=#", "k\u00a0"])
async def test_keys_are_taken_as_they_are(bucket: MinioBucket, key: str) -> None:
    """No path is resolved and nothing is decoded twice: put, get, list and delete agree."""
    await bucket.put(key, "body")
    await bucket.put("other", "")

    found = await bucket.get(key, range={"offset": 1})

    assert isinstance(found, R2ObjectBody)
    assert await found.text() == "ody"
    assert {item.key for item in (await bucket.list()).objects} == {key, "other"}
    await bucket.delete([key, "other", "missing"])
    assert (await bucket.list()).objects == []


async def test_a_wrong_checksum_of_a_large_stream_is_never_visible(
    bucket: MinioBucket, wire: Wire
) -> None:
    """The checksum is judged before the upload completes: the old object stays, no upload."""
    await bucket.put("k", "old")
    body = FixedLengthStream(stream(bytes(11 * MIB)), 11 * MIB)

    with pytest.raises(R2Error, match=r"\(10037\)"):
        await bucket.put("k", body, sha256="0" * 64)

    found = await bucket.get("k")
    assert isinstance(found, R2ObjectBody)
    assert await found.text() == "old"
    assert "<Key>" not in own_keys(wire)


async def test_what_is_left_over_is_swept(bucket: MinioBucket, clock: Clock, wire: Wire) -> None:
    """
    After 8 days: sidecars of replaced objects and records of uploads go, those of objects
    that are there stay.
    """
    for key in ("kept", "gone"):
        await bucket.put(key, FixedLengthStream(stream(bytes(6 * MIB)), 6 * MIB))
    kept = await bucket.head("kept")
    upload = await bucket.create_multipart_upload("mp")
    await bucket.put("gone", "small")
    assert kept is not None

    await asyncio.to_thread(sweep, wire, S3Objects(wire), int(START * 1000) + 7 * DAY * 1000)
    assert own_keys(wire).count("<Key>") == 3
    await asyncio.to_thread(sweep, wire, S3Objects(wire), int(START * 1000) + 9 * DAY * 1000)

    assert own_keys(wire).count("<Key>") == 1
    assert kept.version in own_keys(wire)
    with pytest.raises(R2Error, match=r"\(10024\)"):
        await bucket.resume_multipart_upload("mp", upload.upload_id[:-1] + "g").upload_part(1, "")


async def test_a_reader_who_leaves_gives_the_connection_back(bucket: MinioBucket) -> None:
    """
    A slow reader gets all of it; bodies begun and left, cancelled or never read hinder neither
    reading nor closing.
    """
    data = os.urandom(9 * MIB)
    await bucket.put("k", data)
    found = await bucket.get("k")
    assert isinstance(found, R2ObjectBody)
    received = []
    async for chunk in found.body:
        # Slower than the server: what was read ahead is waiting each time.
        await asyncio.sleep(0.005)
        received.append(chunk)
    assert b"".join(received) == data
    for turn in range(40):
        found = await bucket.get("k")
        assert isinstance(found, R2ObjectBody)
        if turn % 3:
            assert await anext(aiter(found.body)) == data[: 256 * 1024]
        if turn % 2:
            found.body.cancel()

    found = await bucket.get("k")
    assert isinstance(found, R2ObjectBody)
    assert await found.bytes() == data


CONFIG = """
name = "t"
main = "worker/entry/edge.py"
compatibility_date = "2026-01-01"
"""
BINDING = '[[r2_buckets]]\nbinding = "{}"\nbucket_name = "{}"\n'


def stores(tmp_path: Path, url: str, *names: str) -> Stores:
    """Return the stores of a configuration with one R2 binding for each of *names*."""
    file = tmp_path / "wrangler_compat.toml"
    rows = [BINDING.format(f"B{i}", name) for i, name in enumerate(names)]
    file.write_text(CONFIG + "".join(rows))
    return Stores(load_config(file), tmp_path, {"EDGEKEEP_R2": url}, Clock(), os.urandom)


async def test_the_variable_puts_every_binding_on_the_server(tmp_path: Path) -> None:
    """Without /bucket each binding has the bucket of the configuration, made when missing."""
    server = s3_servers.shared("moto")
    names = [s3_servers.fresh_name() for _ in range(2)]
    chosen = stores(tmp_path, server.url, *names)

    first, second = [await chosen.bucket(binding) for binding in ("B0", "B1")]
    await first.put("k", "1")

    assert await second.head("k") is None
    again = await stores(tmp_path, f"{server.url}/{names[0]}", "unused").bucket("B0")
    assert await again.head("k") is not None
    for opened in (first, second, again):
        await opened.close()


async def test_a_useless_address_is_a_sentence_about_the_variable(tmp_path: Path) -> None:
    """One bucket for two bindings, and what is no address, end in a ConfigError."""
    url = s3_servers.shared("moto").url
    for chosen in (stores(tmp_path, f"{url}/bucket", "one-name", "two-name"),):
        with pytest.raises(ConfigError, match=r"EDGEKEEP_R2: .* several"):
            await chosen.bucket("B0")
    with pytest.raises(ConfigError, match=r"EDGEKEEP_R2: .* s3://key:secret@host"):
        await stores(tmp_path, "http://server:9000", "one-name").bucket("B0")
