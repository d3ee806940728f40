"""
R2: objects by folder, one object's facts, upload, download, delete; all through the contract.

Stored bytes never become a page of ours: a download is an attachment of no type, in a sandbox.
"""

import contextlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from aiohttp import web

from r2.contract import R2Bucket, R2Error, R2Object, R2ObjectBody, R2Unavailable
from worker.entry.console import positions
from worker.entry.console.file_form import answer_change, open_file_form
from worker.entry.console.guard import SECURITY_HEADERS
from worker.entry.console.object_files import attachment, store

if TYPE_CHECKING:
    from worker.entry.console.frame import Console, Page

_PAGE_OBJECTS: Final = 100
_SANDBOX: Final = "default-src 'none'; sandbox"


async def buckets(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the buckets that the configuration binds."""
    return console.render(
        request,
        "r2.html",
        buckets=console.opened.config.r2,
        adapter=console.opened.stores.r2_adapter,
    )


async def objects(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the folders and objects below ?prefix=, a page at a time."""
    binding, bucket = _bound(console, request)
    prefix = request.query.get("prefix", "")
    of = f"r2:{binding}:{prefix}"
    cursor = positions.begin(console, request, of)
    with _told():
        page = await bucket.list(prefix=prefix, delimiter="/", limit=_PAGE_OBJECTS, cursor=cursor)
    folder = prefix[: prefix.rfind("/") + 1]
    return console.render(
        request,
        "r2_objects.html",
        binding=binding,
        bucket_name=console.opened.config.r2[binding],
        prefix=prefix,
        folder=folder,
        crumbs=_crumbs(folder),
        folders=page.delimited_prefixes,
        objects=page.objects,
        is_first=cursor is None,
        next=positions.seal(console, of, page.cursor) if page.truncated else None,
    )


async def an_object(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: everything that is known of one object, but its bytes."""
    binding, bucket = _bound(console, request)
    found = await _head(bucket, _key(request))
    http = found.http_metadata
    headers = {
        name.replace("_", "-").title(): value
        for name, value in http.to_json().items()
        if name != "cache_expiry"
    }
    return console.render(
        request,
        "r2_object.html",
        binding=binding,
        object=found,
        expires=http.cache_expiry,
        headers=headers,
        checksums=found.checksums.to_json(),
        folder=found.key[: found.key.rfind("/") + 1],
        crumbs=_crumbs(found.key[: found.key.rfind("/") + 1]),
    )


async def download(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the bytes, as a file to save."""
    _, bucket = _bound(console, request)
    key = _key(request)
    with _told():
        found = await bucket.get(key)
    if found is None:
        raise _no_object()
    # Without a condition the body always comes along.
    assert isinstance(found, R2ObjectBody)
    answer = web.StreamResponse(
        headers={
            **SECURITY_HEADERS,
            "Content-Security-Policy": _SANDBOX,
            "Content-Type": "application/octet-stream",
            "Content-Disposition": attachment(key),
            "ETag": found.http_etag,
        }
    )
    answer.content_length = found.size
    try:
        await answer.prepare(request)
        if request.method != "HEAD":
            await _pass_on(request, answer, found)
    finally:
        found.body.cancel()
    return answer


async def _pass_on(request: web.Request, answer: web.StreamResponse, found: R2ObjectBody) -> None:
    try:
        async for chunk in found.body:
            await answer.write(chunk)
    except Exception:
        # Half of a file has left: only a connection that breaks tells its reader.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the download broke off") from None
    await answer.write_eof()


async def upload(console: "Console", request: web.Request) -> web.StreamResponse:
    """POST: store the file of the form; the place of an object only when the form says so."""
    binding, bucket = _bound(console, request)
    form = await open_file_form(console, request)
    key = form.fields.get("key") or form.fields.get("folder", "") + form.filename
    content_type = form.fields.get("type") or form.content_type or None
    with _told():
        if form.fields.get("replace") != "yes" and await bucket.head(key) is not None:
            raise web.HTTPConflict(
                text="There is an object of this key already. Tick “Replace” to put the file in "
                "its place, or choose another key."
            )
        size = await store(bucket, key, form.chunks(), content_type)
    return answer_change(console, request, _path(binding, "object", key), f"Stored {size:,} bytes.")


async def ask_delete(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: ask before an object goes."""
    binding, bucket = _bound(console, request)
    found = await _head(bucket, _key(request))
    return console.render(request, "r2_delete.html", binding=binding, object=found)


async def delete(console: "Console", request: web.Request) -> web.StreamResponse:
    """POST: delete one object."""
    binding, bucket = _bound(console, request)
    fields = await console.form(request)
    key = fields.get("key", "")
    with _told():
        await bucket.delete(key)
    folder = key[: key.rfind("/") + 1]
    return console.redirect(
        request, f"/r2/{binding}?prefix={quote(folder)}", f"Deleted the object {key}."
    )


# -- what the pages share --------------------------------------------------------------------------


def _bound(console: "Console", request: web.Request) -> tuple[str, R2Bucket]:
    binding = request.match_info["binding"]
    if binding not in console.opened.config.r2:
        raise web.HTTPNotFound(text="The configuration binds no bucket of this name.")
    bucket: R2Bucket | None = getattr(console.env, binding.lower(), None)
    if bucket is None:
        raise web.HTTPNotFound(text="This host has the bucket not open: nothing in it uses it.")
    return binding, bucket


def _key(request: web.Request) -> str:
    key = request.query.get("key")
    if key is None:
        raise web.HTTPBadRequest(text="The address names no key.")
    return key


async def _head(bucket: R2Bucket, key: str) -> R2Object:
    with _told():
        found = await bucket.head(key)
    if found is None:
        raise _no_object()
    return found


def _no_object() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="The bucket has no object of this key.")


@contextlib.contextmanager
def _told() -> Any:
    """Let the bucket's own refusals become pages; that it is away is the frame's to tell."""
    try:
        yield
    except R2Unavailable:
        raise
    except (R2Error, ValueError) as error:
        raise web.HTTPBadRequest(text=f"{error}.") from None


def _crumbs(folder: str) -> list[tuple[str, str]]:
    """Return (prefix, name) of each folder on the way to *folder*, itself included."""
    names = folder.split("/")[:-1]
    return [("/".join(names[: n + 1]) + "/", name) for n, name in enumerate(names)]


def _path(binding: str, page: str, key: str) -> str:
    return f"/r2/{binding}/{page}?key={quote(key, safe='')}"


PAGES: "tuple[tuple[str, str, Page], ...]" = (
    ("GET", "/r2", buckets),
    ("GET", "/r2/{binding}", objects),
    ("GET", "/r2/{binding}/object", an_object),
    ("GET", "/r2/{binding}/download", download),
    ("POST", "/r2/{binding}/upload", upload),
    ("GET", "/r2/{binding}/delete", ask_delete),
    ("POST", "/r2/{binding}/delete", delete),
)
