"""The console's R2 pages: folders, facts, upload, download, delete."""

import asyncio
import re
import resource
import tracemalloc
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2.contract import R2ObjectBody, R2Unavailable
from tests.support.console_visit import PROBES, Visitor, assert_tame, visit, words
from tests.support.running_host import Answer, RunningHost
from worker.entry.console.object_files import attachment

BOUNDARY = "----edgekeep-test"
MIB = 1024 * 1024


def form(fields: dict[str, str], filename: str, content: bytes, kind: str = "text/plain") -> bytes:
    """Return a multipart form with its file at the end."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    return "".join(parts).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


async def upload(
    visitor: Visitor, filename: str, content: bytes, kind: str = "text/plain", **fields: str
) -> Answer:
    """Send a file from the form of the bucket's page."""
    body = form({"csrf": visitor.token, **fields}, filename, content, kind)
    return await send(visitor, body)


async def send(visitor: Visitor, body: bytes | AsyncIterator[bytes], **headers: str) -> Answer:
    """POST *body* as the upload form does."""
    return await visitor.ask(
        "POST",
        "/r2/BLOBS/upload",
        data=body,
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **headers},
    )


async def test_folders_are_walked_and_pages_hold_every_object_once(host: RunningHost) -> None:
    """Folders come from the keys; "Next page" goes on where the page ended."""
    for number in range(120):
        await host.env.blobs.put(f"many/{number:03}.txt", "x")
    await host.env.blobs.put("a/b/c.txt", "deep")
    await host.env.blobs.put("top.txt", "top")
    visitor = Visitor(host)

    top = words(await visitor.get("/r2/BLOBS"))
    inner = await visitor.get("/r2/BLOBS?prefix=a/b/")
    seen: list[str] = []
    path = "/r2/BLOBS?prefix=many/"
    while path:
        page = await visitor.get(path)
        seen += re.findall(r"<code>(\d+\.txt)</code>", page)
        following = re.search(r'href="/_console([^"]+)" rel="next"', page)
        path = following[1].replace("&amp;", "&") if following else ""

    assert "BLOBS" in words(await visitor.get("/r2"))
    assert "a/ folder" in top
    assert "many/ folder" in top
    assert "top.txt 3 B" in top
    assert "c.txt" in words(inner)
    assert 'href="/_console/r2/BLOBS?prefix=a/"' in inner
    assert seen == [f"{number:03}.txt" for number in range(120)]


async def test_an_object_tells_everything_but_its_bytes(host: RunningHost) -> None:
    """Size, etag, time, both kinds of metadata, checksums, version, class."""
    made = await host.env.blobs.put(
        "x.json",
        "{}",
        http_metadata={"content_type": "application/json", "cache_control": "no-cache"},
        custom_metadata={"colour": "green"},
    )
    assert made is not None

    page = words(await Visitor(host).get("/r2/BLOBS/object?key=x.json"))

    for text in (made.etag, made.version, "application/json", "Cache-Control no-cache", "2 B"):
        assert text in page
    assert "colour green" in page
    assert f"MD5 {made.etag}" in page


async def test_keys_and_metadata_never_become_markup(host: RunningHost) -> None:
    """Keys and metadata that hold HTML are text on every page."""
    visitor = Visitor(host)
    for probe in PROBES:
        key = f"{probe}/{probe}"
        await host.env.blobs.put(
            key, "x", http_metadata={"content_type": probe}, custom_metadata={probe: probe}
        )
        query = quote(key, safe="")
        for path in (
            "/r2/BLOBS",
            f"/r2/BLOBS?prefix={query[:-3]}",
            f"/r2/BLOBS/object?key={query}",
            f"/r2/BLOBS/delete?key={query}",
        ):
            assert_tame(await visitor.get(path))
        answer = await visitor.post("/r2/BLOBS/delete", key=key)
        page = await visitor.follow(answer)
        assert_tame(page)
        assert "Deleted the object" in page


async def test_a_stored_page_cannot_run_in_the_console(host: RunningHost) -> None:
    """HTML comes as an attachment without a type, unsniffed, in a sandbox."""
    await host.env.blobs.put(
        "evil.html",
        "<script>alert(1)</script>",
        http_metadata={"content_type": "text/html", "content_disposition": "inline"},
    )

    answer = await Visitor(host).ask("GET", "/r2/BLOBS/download?key=evil.html")

    assert answer.status == 200
    assert answer.body == b"<script>alert(1)</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("key", "plain", "exact"),
    [
        ("a/b.txt", "b.txt", "b.txt"),
        ("Grüße €.pdf", "Gr__e _.pdf", "Gr%C3%BC%C3%9Fe%20%E2%82%AC.pdf"),
        ('x"; filename=evil.exe', "x_; filename=evil.exe", "x_%3B%20filename%3Devil.exe"),
        ("a\r\nSet-Cookie: x=1", "a__Set-Cookie_ x=1", "a__Set-Cookie_%20x%3D1"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("c\\d:e", "c_d_e", "c_d_e"),
        ("\u202egpj.exe", "_gpj.exe", "_gpj.exe"),
        ("100%41.txt", "100_41.txt", "100%2541.txt"),
        ("folder/", "folder", "folder"),
        ("..", "object", "object"),
        ("", "object", "object"),
    ],
)
def test_a_download_has_a_safe_name(key: str, plain: str, exact: str) -> None:
    """RFC 6266: the plain name is ASCII and safe, the exact one is RFC 8187's UTF-8."""
    assert attachment(key) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"


@given(st.text())
def test_no_key_breaks_the_header(key: str) -> None:
    """Whatever the key, the header is one line of printable ASCII with two names."""
    header = attachment(key.encode("utf-8", "replace").decode())

    assert re.fullmatch(
        r'attachment; filename="[\x20-\x7e]+"; filename\*=UTF-8\'\'[!-~]+', header
    ), header
    assert header.count('"') == 2


async def test_a_file_goes_in_and_comes_out(host: RunningHost) -> None:
    """The plain form stores under folder and name; the notice tells it; the bytes are the same."""
    visitor = await visit(host, "/r2/BLOBS")
    content = bytes(range(256)) * 40

    answer = await upload(visitor, "plan b.bin", content, "application/x-thing", folder="docs/")
    page = words(await visitor.follow(answer))
    back = await visitor.ask("GET", "/r2/BLOBS/download?key=docs/plan%20b.bin")

    assert "Stored 10,240 bytes." in page
    assert "application/x-thing" in page
    assert back.body == content


async def test_the_page_s_script_gets_the_address_instead_of_a_redirect(host: RunningHost) -> None:
    """With Accept: application/json the place comes as JSON, and the notice waits for the page."""
    visitor = await visit(host, "/r2/BLOBS")
    body = form({"csrf": visitor.token, "key": "k&?.txt"}, "x.txt", b"x")

    answer = await send(visitor, body, Accept="application/json")

    location = answer.json()["location"]
    assert answer.status == 200
    assert "Stored 1 bytes." in await visitor.get(location.removeprefix("/_console"))


async def test_an_object_is_replaced_only_when_the_form_says_so(host: RunningHost) -> None:
    """409 and the old bytes stay; with the tick the new ones take their place."""
    await host.env.blobs.put("x.txt", "old")
    visitor = await visit(host, "/r2/BLOBS")

    refused = await upload(visitor, "x.txt", b"new")
    first = await host.env.blobs.get("x.txt")
    taken = await upload(visitor, "x.txt", b"new", replace="yes")
    second = await host.env.blobs.get("x.txt")

    assert isinstance(first, R2ObjectBody)
    assert isinstance(second, R2ObjectBody)
    assert refused.status == 409
    assert await first.text() == "old"
    assert taken.status == 303
    assert await second.text() == "new"


async def test_fifty_megabytes_are_streamed(host: RunningHost) -> None:
    """A large file goes in and out in pieces: memory stays flat, other requests are answered."""
    visitor = await visit(host, "/r2/BLOBS")
    piece = b"0123456789abcdef" * (MIB // 16)
    whole = form({"csrf": visitor.token, "key": "large.bin"}, "large.bin", b"", "x/y")
    head, tail = whole[: -len(BOUNDARY) - 8], whole[-len(BOUNDARY) - 8 :]

    async def body() -> AsyncIterator[bytes]:
        yield head
        for _ in range(50):
            yield piece
        yield tail

    tracemalloc.start()
    try:
        sending = asyncio.create_task(send(visitor, body()))
        while not sending.done():
            assert (await host.get("/healthz")).status == 200
            await asyncio.sleep(0.05)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    found = await host.env.blobs.head("large.bin")

    assert (await sending).status == 303
    assert found is not None
    assert found.size == 50 * MIB
    assert peak < 40 * MIB, f"{peak / MIB:.0f} MiB; {resource.getrusage(resource.RUSAGE_SELF)}"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda body: body.replace(b'name="csrf"', b'name="other"'), 403),
        (lambda body: body[:-20], 400),
        (lambda body: body.replace(b'filename="x.txt"', b'filename=""'), 400),
        (lambda body: b"", 400),
        (lambda body: b"no form at all", 400),
        (lambda body: body.replace(b"k.txt", b"k" * 9000), 400),
        (lambda body: body.replace(b"k.txt", b"k" * 1025), 400),
        (lambda body: body.replace(b"k.txt", b"k\xff"), 400),
    ],
)
async def test_forms_that_are_broken_store_nothing(
    host: RunningHost, change: object, status: int
) -> None:
    """A missing token, a form cut short, no file, a key that cannot be: a page says so."""
    visitor = await visit(host, "/r2/BLOBS")
    body = form({"csrf": visitor.token, "key": "k.txt"}, "x.txt", b"content")

    answer = await send(visitor, change(body))  # type: ignore[operator]

    assert answer.status == status, answer.body
    assert b"<h1>" in answer.body
    assert (await host.env.blobs.list()).objects == []


async def test_a_large_file_that_breaks_off_leaves_nothing(host: RunningHost) -> None:
    """Parts were stored already; without the end of the form there is no object."""
    visitor = await visit(host, "/r2/BLOBS")
    body = form({"csrf": visitor.token, "key": "cut.bin"}, "cut.bin", bytes(12 * MIB))

    answer = await send(visitor, body[:-MIB])

    assert answer.status == 400
    assert (await host.env.blobs.list()).objects == []


async def test_the_token_comes_before_the_file(host: RunningHost) -> None:
    """A form whose token stands behind its file is refused without reading the file."""
    visitor = await visit(host, "/r2/BLOBS")
    body = form({"key": "k.txt"}, "x.txt", b"x")
    behind = form({"csrf": visitor.token}, "y.txt", b"y")

    answer = await send(visitor, body[: -len(BOUNDARY) - 6] + behind)

    assert answer.status == 403
    assert (await host.env.blobs.list()).objects == []


async def test_deleting_asks_first_and_needs_the_token(host: RunningHost) -> None:
    """GET asks and changes nothing; only the form with its token deletes."""
    await host.env.blobs.put("x.txt", "x")
    visitor = Visitor(host)

    page = await visitor.get("/r2/BLOBS/delete?key=x.txt")
    forged = await Visitor(host, cookie=visitor.cookie, token="forged").post(
        "/r2/BLOBS/delete", key="x.txt"
    )
    still = await host.env.blobs.head("x.txt")
    answer = await visitor.post("/r2/BLOBS/delete", key="x.txt")

    assert "Delete this object?" in page
    assert forged.status == 403
    assert still is not None
    assert answer.status == 303
    assert await host.env.blobs.head("x.txt") is None


UNKNOWN = [
    ("/r2/NOPE", 404),
    ("/r2/BLOBS/object?key=nope", 404),
    ("/r2/BLOBS/download?key=nope", 404),
    ("/r2/BLOBS/delete?key=nope", 404),
    ("/r2/BLOBS/object", 400),
    ("/r2/BLOBS/object?key=" + "k" * 1025, 400),
    ("/r2/BLOBS?after=bm90IG91cnM", 400),
    ("/r2/BLOBS?after=%FF", 400),
]


async def test_unknown_names_and_altered_addresses_get_clear_pages(host: RunningHost) -> None:
    """404 for what is not there, 400 for what cannot be."""
    for path, status in UNKNOWN:
        assert "<h1>" in await Visitor(host).get(path, status), path


@pytest.mark.parametrize(
    "key", ["", "a/../b", "line\nbreak", "a b/ü/€", "50%.txt", "+&=?#.txt", "/"]
)
async def test_every_key_can_be_walked_to(host: RunningHost, key: str) -> None:
    """Odd keys are listed, opened, downloaded and deleted as any other."""
    await host.env.blobs.put(key, "content")
    visitor = Visitor(host)
    folder = key[: key.rfind("/") + 1]

    listing = await visitor.get(f"/r2/BLOBS?prefix={quote(folder, safe='')}")
    link = re.search(r'href="/_console(/r2/BLOBS/object[^"]+)"', listing)
    assert link is not None
    page = await visitor.get(link[1].replace("&amp;", "&"))
    down = re.search(r'href="/_console(/r2/BLOBS/download[^"]+)"', page)
    assert down is not None
    answer = await visitor.ask("GET", down[1].replace("&amp;", "&"))
    head = await visitor.ask("HEAD", down[1].replace("&amp;", "&"))

    assert answer.body == b"content"
    assert head.headers["Content-Length"] == "7"


async def test_a_store_that_is_away_is_a_page_too(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with a sentence, as everywhere in the console."""

    async def away(*_: object) -> None:
        raise R2Unavailable("list")

    monkeypatch.setattr(type(host.env.blobs), "_list", away)

    assert "does not answer" in await Visitor(host).get("/r2/BLOBS", 503)
