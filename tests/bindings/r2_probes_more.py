"""The probes of golden/probe/r2.js in Python, second half: checksums, lists, uploads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from r2.contract import R2Bucket, R2Error, R2MultipartUpload
from tests.bindings.r2_notation import camel, write
from tests.bindings.r2_probes import State, add, field, probe, text

FIVE = b"A" * (5 * 1024 * 1024)
MD5 = "5d41402abc4b2a76b9719d911017c592"
SHA1 = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


async def digests(r2: R2Bucket, **stated: Any) -> dict[str, str]:
    """Put "hello" with a stated checksum and return all checksums as hex."""
    found: Any = await r2.put("ck", "hello", **stated)
    read: dict[str, str] = found.checksums.to_json()
    return read


add("md5 hex ok", lambda r2: digests(r2, md5=MD5))
add("md5 wrong", lambda r2: r2.put("ck", "hellO", md5=MD5))
add("md5 bad length", lambda r2: digests(r2, md5="abc"))
add("md5 non-hex", lambda r2: digests(r2, md5="z" * 32))
add("sha1 uppercase hex", lambda r2: digests(r2, sha1=SHA1.upper()))
add("two hashes", lambda r2: digests(r2, md5=MD5, sha1=SHA1))


@probe("sha256 buffer")
async def _(r2: R2Bucket, state: State) -> Any:
    first = await digests(r2, sha256=bytes.fromhex(SHA256))
    found: Any = await r2.head("ck")
    return [first, found.checksums.sha256]


@probe("failed checksum leaves old")
async def _(r2: R2Bucket, state: State) -> Any:
    await r2.put("ck2", "old")
    try:
        await r2.put("ck2", "new", md5=MD5)
    except R2Error:
        return await text(r2, "ck2")
    return "the wrong checksum was accepted"


@probe("default checksums")
async def _(r2: R2Bucket, state: State) -> Any:
    found: Any = await r2.head("rg")
    return found.checksums.to_json()


@probe("storageClass")
async def _(r2: R2Bucket, state: State) -> Any:
    put = await field(r2.put("sc", "v", storage_class="InfrequentAccess"), "storage_class")
    return [put, *[await field(r2.head(key), "storage_class") for key in ("sc", "rg")]]


add("storageClass bad", lambda r2: field(r2.put("sc", "v", storage_class="Nope"), "storage_class"))


@probe("ssecKey")
async def _(r2: R2Bucket, state: State) -> Any:
    # The object has to be there, later probes count it.
    await r2.put("ss", "v")
    return await r2.put("ss", "v", ssec_key="a" * 64)  # type: ignore[call-arg]


add("ssecKey bad", lambda r2: r2.put("ss", "v", ssec_key="a" * 63))  # type: ignore[call-arg]

# -- lists ---------------------------------------------------------------------------------


@probe("list prefix")
async def _(r2: R2Bucket, state: State) -> Any:
    for key in ("l/a", "l/b/1", "l/b/2", "l/c", "l/d/x", "l/é"):
        metadata = {"content_type": "t/p"}
        await r2.put(key, key, custom_metadata={"m": key}, http_metadata=metadata)
    page = await r2.list(prefix="l/")
    names = [camel(name) for name in type(page).__slots__]
    first = page.objects[0]
    rest = [page.truncated, page.cursor, page.delimited_prefixes]
    keys = [item.key for item in page.objects]
    return [names, keys, *rest, first.custom_metadata, first.http_metadata]


@probe("list delimiter")
async def _(r2: R2Bucket, state: State) -> Any:
    page = await r2.list(prefix="l/", delimiter="/")
    return [[item.key for item in page.objects], page.delimited_prefixes, page.truncated]


async def pages(r2: R2Bucket, **options: Any) -> list[Any]:
    """Return every page of a list."""
    found = [await r2.list(**options)]
    while found[-1].truncated:
        found.append(await r2.list(cursor=found[-1].cursor, **options))
    return found


@probe("list limit 2 paging")
async def _(r2: R2Bucket, state: State) -> Any:
    found = await pages(r2, prefix="l/", limit=2)
    return [[[item.key for item in page.objects], page.truncated, page.cursor] for page in found]


@probe("list delimiter paging limit 1")
async def _(r2: R2Bucket, state: State) -> Any:
    found = await pages(r2, prefix="l/", delimiter="/", limit=1)
    return [
        [[item.key for item in page.objects], page.delimited_prefixes, page.truncated]
        for page in found
    ]


async def keys(r2: R2Bucket, **options: Any) -> list[str]:
    """Return the keys of one page."""
    return [item.key for item in (await r2.list(**options)).objects]


async def count(r2: R2Bucket, **options: Any) -> int:
    """Return how many keys one page has."""
    return len(await keys(r2, **options))


add("list delimiter no prefix", lambda r2: field(r2.list(delimiter="/"), "delimited_prefixes"))
add("list limit 0", lambda r2: r2.list(limit=0))
add("list limit -1", lambda r2: r2.list(limit=-1))
add("list limit 1000", lambda r2: field(r2.list(limit=1000), "truncated"))
add("list limit 1001", lambda r2: r2.list(limit=1001))
add("list startAfter", lambda r2: keys(r2, prefix="l/", start_after="l/b/1"))
add("list include bad", lambda r2: r2.list(include=["zzz"]))
add("list bad cursor", lambda r2: count(r2, cursor="!!!"))
add("list empty", lambda r2: r2.list(prefix="zzzz"))


@probe("list include meta")
async def _(r2: R2Bucket, state: State) -> Any:
    page = await r2.list(prefix="l/", include=["customMetadata", "httpMetadata"])
    return [page.objects[0].custom_metadata, page.objects[0].http_metadata]


@probe("list delimiter multichar")
async def _(r2: R2Bucket, state: State) -> Any:
    page = await r2.list(prefix="l/", delimiter="b/")
    return [[item.key for item in page.objects], page.delimited_prefixes]


# -- uploads in parts ----------------------------------------------------------------------


@probe("createMultipartUpload")
async def _(r2: R2Bucket, state: State) -> Any:
    upload = await r2.create_multipart_upload(
        "mp", custom_metadata={"q": "1"}, http_metadata={"content_type": "a/b"}
    )
    state["mp"] = upload
    return [upload.key, "string", len(upload.upload_id)]


@probe("uploadPart 1")
async def _(r2: R2Bucket, state: State) -> Any:
    part = state["p1"] = await state["mp"].upload_part(1, FIVE)
    assert isinstance(part.etag, str)
    return [part.part_number, "string", [camel(name) for name in type(part).__slots__]]


@probe("uploadPart 2 small last")
async def _(r2: R2Bucket, state: State) -> Any:
    state["p2"] = await state["mp"].upload_part(2, "tail")
    return state["p2"].part_number


add("not visible before complete", lambda r2: r2.head("mp"))


def with_upload(name: str, use: Callable[[R2MultipartUpload, State], Any]) -> None:
    """Register a use of the first upload."""

    @probe(name)
    async def _(r2: R2Bucket, state: State) -> Any:
        return await use(state["mp"], state)


with_upload("uploadPart 0", lambda mp, state: mp.upload_part(0, "x"))
with_upload("uploadPart 10001", lambda mp, state: mp.upload_part(10001, "x"))
with_upload("uploadPart -1", lambda mp, state: mp.upload_part(-1, "x"))
with_upload(
    "complete wrong etag",
    lambda mp, state: mp.complete([{"part_number": 1, "etag": "zzz"}]),
)
with_upload("complete", lambda mp, state: mp.complete([state["p2"], state["p1"]]))
add("get across parts", lambda r2: r2.get("mp", range={"offset": len(FIVE) - 2, "length": 4}))
with_upload("complete again", lambda mp, state: mp.complete([state["p1"], state["p2"]]))
with_upload("uploadPart after complete", lambda mp, state: mp.upload_part(3, "x"))
with_upload("abort after complete", lambda mp, state: mp.abort())


def upload_and_complete(name: str, key: str, *bodies: bytes) -> None:
    """Register an upload of *bodies* as parts 1, 2, …, completed in that order."""

    @probe(name)
    async def _(r2: R2Bucket, state: State) -> Any:
        upload = await r2.create_multipart_upload(key)
        parts = [await upload.upload_part(i, body) for i, body in enumerate(bodies, 1)]
        done = await upload.complete(parts)
        return done.size if bodies else [done.size, done.etag]


upload_and_complete("small non-last part", "mp2", b"a", b"b")
upload_and_complete("unequal parts", "mp3", FIVE, FIVE + b"B", b"c")
upload_and_complete("last part bigger", "mp3", FIVE, b"B" * (6 * 1024 * 1024))
upload_and_complete("complete empty", "mp4")
upload_and_complete("uploadPart empty body", "mpE", b"")


@probe("complete dup parts")
async def _(r2: R2Bucket, state: State) -> Any:
    upload = await r2.create_multipart_upload("mp5")
    part = await upload.upload_part(1, "a")
    return await upload.complete([part, part])


@probe("reupload part replaces")
async def _(r2: R2Bucket, state: State) -> Any:
    upload = await r2.create_multipart_upload("mp6")
    await upload.upload_part(1, "a")
    await upload.complete([await upload.upload_part(1, "bb")])
    return await text(r2, "mp6")


@probe("abort then upload")
async def _(r2: R2Bucket, state: State) -> Any:
    upload = await r2.create_multipart_upload("mp7")
    await upload.abort()
    return await upload.upload_part(1, "x")


@probe("abort twice")
async def _(r2: R2Bucket, state: State) -> Any:
    upload = await r2.create_multipart_upload("mp8")
    await upload.abort()
    return await upload.abort()


@probe("complete after abort")
async def _(r2: R2Bucket, state: State) -> Any:
    upload = await r2.create_multipart_upload("mp9")
    part = await upload.upload_part(1, "a")
    await upload.abort()
    return await upload.complete([part])


add("resume unknown id", lambda r2: r2.resume_multipart_upload("mp", "nope").upload_part(1, "x"))
add("resume unknown abort", lambda r2: r2.resume_multipart_upload("mp", "nope").abort())


@probe("resume wrong key")
async def _(r2: R2Bucket, state: State) -> Any:
    upload = await r2.create_multipart_upload("mpA")
    return await r2.resume_multipart_upload("mpB", upload.upload_id).upload_part(1, "x")


@probe("resume props sync")
async def _(r2: R2Bucket, state: State) -> Any:
    upload = r2.resume_multipart_upload("kk", "id")
    return [upload.key, upload.upload_id]


# -- the rest ------------------------------------------------------------------------------


@probe("methods")
async def _(r2: R2Bucket, state: State) -> Any:
    kinds = (R2Bucket, R2MultipartUpload)
    return [[name for name in vars(kind) if not name.startswith("_")] for kind in kinds]


@probe("R2 error shape")
async def _(r2: R2Bucket, state: State) -> Any:
    try:
        await r2.put("k" * 1025, "v")
    except R2Error as error:
        return [type(error).__name__, str(error), error.verb, error.text, error.code]


@probe("version changes")
async def _(r2: R2Bucket, state: State) -> Any:
    first, second = await r2.put("vv", "1"), await r2.put("vv", "1")
    assert first is not None
    assert second is not None
    return [first.version != second.version, first.etag == second.etag, len(first.version)]


@probe("obj json/arrayBuffer/blob/bytes")
async def _(r2: R2Bucket, state: State) -> Any:
    await r2.put("j", '{"a":1}', http_metadata={"content_type": "x/y"})
    as_json: Any = await r2.get("j")
    as_bytes: Any = await r2.get("j")
    return [await as_json.json(), write(await as_bytes.bytes())]


@probe("list order utf8")
async def _(r2: R2Bucket, state: State) -> Any:
    for key in ("o/\uffff", "o/𝒳", "o/a"):
        await r2.put(key, "")
    return await keys(r2, prefix="o/")
