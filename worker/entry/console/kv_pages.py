"""KV: namespaces, keys and values; what is put and deleted goes through the contract."""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from aiohttp import web

from kv.checks import KVError, KVUnavailable
from kv.contract import KVKey, KVNamespace
from worker.entry.console.kv_form import PutForm, empty_form, form_of
from worker.entry.console.kv_value import VIEWS, value_view

if TYPE_CHECKING:
    from worker.entry.console.frame import Console, Page

_PAGE_KEYS: Final = 100


async def namespaces(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the namespaces, each with the id that wrangler_compat.toml gives it."""
    config = console.opened.config
    return console.render(
        request, "kv.html", namespaces=config.kv, adapter=console.opened.stores.kv_adapter
    )


async def keys(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: a page of the keys that begin with ?prefix=, from behind ?cursor=."""
    binding, namespace = _namespace(console, request)
    prefix, cursor = request.query.get("prefix", ""), request.query.get("cursor")
    error, page = "", None
    try:
        page = await namespace.list(prefix=prefix, limit=_PAGE_KEYS, cursor=cursor)
    except KVUnavailable:
        raise
    except (KVError, TypeError) as refused:
        error = _sentence(refused)
    here = _path(binding)
    again = {"prefix": prefix} if prefix else {}
    return console.render(
        request,
        "kv_keys.html",
        status=422 if error else 200,
        binding=binding,
        bindings=list(console.opened.config.kv),
        prefix=prefix,
        error=error,
        keys=page.keys if page else [],
        first=_href(here, **again) if cursor else None,
        next=_href(here, **again, cursor=page.cursor) if page and page.cursor else None,
    )


async def value(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: one value as ?as=text, json or hex, with metadata and expiry."""
    binding, namespace = _namespace(console, request)
    key = _key(request)
    found = await _read(namespace, key)
    if found is None:
        return _missing(console, request, binding, key)
    data, metadata, entry = found
    return console.render(
        request,
        "kv_value.html",
        binding=binding,
        key=key,
        entry=entry,
        metadata=metadata,
        is_editable=form_of(key, data, metadata, None) is not None,
        view=await value_view(data, request.query.get("as", "")),
        views=[(_href(_path(binding, "value"), key=key, **{"as": name}), name) for name in VIEWS],
    )


async def download(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the bytes of a value, as a file."""
    binding, namespace = _namespace(console, request)
    key = _key(request)
    data = await namespace.get(key, "bytes")
    if data is None:
        return _missing(console, request, binding, key)
    # A name of our own: a key may be anything, and what is downloaded is never shown as a page.
    return web.Response(
        body=data,
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{binding}-value.bin"',
        },
    )


async def put_form(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the form for a new key, or, with ?key=, for what is stored there."""
    binding, namespace = _namespace(console, request)
    if "key" not in request.query:
        return _show_form(console, request, binding, empty_form(request.query.get("prefix", "")))
    key = _key(request)
    found = await _read(namespace, key)
    if found is None:
        return _missing(console, request, binding, key)
    data, metadata, entry = found
    form = form_of(key, data, metadata, entry.expiration)
    if form is None:
        return console.refuse(
            request,
            422,
            "This value cannot be edited here: it is longer than 256 kB, not UTF-8 text, or has "
            "characters that a form would change. Use: edgekeep kv key put KEY --path FILE.",
        )
    return _show_form(console, request, binding, form)


async def put(console: "Console", request: web.Request) -> web.StreamResponse:
    """POST: store what the form says; a refusal of the contract shows beside what was typed."""
    binding, namespace = _namespace(console, request)
    form = PutForm.read(await console.form(request), request.query.get("key"))
    values = form.values()
    if values is not None:
        try:
            await namespace.put(
                form.key,
                values.value,
                expiration=values.expiration,
                expiration_ttl=values.ttl,
                metadata=values.metadata,
            )
        except KVUnavailable:
            raise
        except (KVError, TypeError) as refused:
            form.blame(refused)
        else:
            target = _href(_path(binding, "value"), key=form.key)
            return console.redirect(request, target, "Stored.")
    return _show_form(console, request, binding, form, 422)


async def delete_form(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: ask whether the key shall really go."""
    binding, namespace = _namespace(console, request)
    key = _key(request)
    if await _read(namespace, key) is None:
        return _missing(console, request, binding, key)
    return console.render(request, "kv_delete.html", binding=binding, key=key)


async def delete(console: "Console", request: web.Request) -> web.StreamResponse:
    """POST: remove the key."""
    binding, namespace = _namespace(console, request)
    await console.form(request)
    key = _key(request)
    await namespace.delete(key)
    return console.redirect(request, _path(binding), f"Deleted: {key}")


def namespace_of(console: "Console", binding: str) -> KVNamespace | None:
    """Return the open namespace *binding*; None when the Worker has none of that name."""
    if binding not in console.opened.config.kv:
        return None
    found = getattr(console.env, binding.lower(), None)
    return found if isinstance(found, KVNamespace) else None


def _namespace(console: "Console", request: web.Request) -> tuple[str, KVNamespace]:
    binding = request.match_info["binding"]
    namespace = namespace_of(console, binding)
    if namespace is None:
        raise web.HTTPNotFound(text="There is no KV namespace of this name.")
    return binding, namespace


def _key(request: web.Request) -> str:
    """Return ?key=, which may be any text a key can be."""
    key = request.query.get("key", "")
    if not key or key in (".", "..") or len(key.encode(errors="replace")) > 512:
        raise web.HTTPNotFound(text="There can be no such key.")
    return key


async def _read(namespace: KVNamespace, key: str) -> tuple[bytes, Any, KVKey] | None:
    """Return value, metadata and the entry with the expiry; None when the key is not there."""
    found = await namespace.get_with_metadata(key, "bytes")
    if found.value is None:
        return None
    # Only a list tells when an entry ends; of all keys with this prefix, it is the first.
    cursor = None
    while True:
        page = await namespace.list(prefix=key, limit=1, cursor=cursor)
        if page.keys or page.list_complete:
            break
        cursor = page.cursor
    entry = page.keys[0] if page.keys and page.keys[0].name == key else KVKey(key, None, None)
    return found.value, found.metadata, entry


def _missing(
    console: "Console", request: web.Request, binding: str, key: str
) -> web.StreamResponse:
    return console.render(request, "kv_missing.html", status=404, binding=binding, key=key)


def _show_form(
    console: "Console", request: web.Request, binding: str, form: PutForm, status: int = 200
) -> web.StreamResponse:
    target = _path(binding, "put")
    if form.is_fixed:
        target = _href(target, key=form.key)
    return console.render(
        request, "kv_put.html", status=status, binding=binding, form=form, target=target
    )


def _sentence(refused: Exception) -> str:
    return refused.text if isinstance(refused, KVError) else str(refused)


def _path(binding: str, page: str = "") -> str:
    return f"/kv/{binding}/{page}" if page else f"/kv/{binding}"


def _href(path: str, **query: str | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


PAGES: "tuple[tuple[str, str, Page], ...]" = (
    ("GET", "/kv", namespaces),
    ("GET", "/kv/{binding}", keys),
    ("GET", "/kv/{binding}/value", value),
    ("GET", "/kv/{binding}/download", download),
    ("GET", "/kv/{binding}/put", put_form),
    ("POST", "/kv/{binding}/put", put),
    ("GET", "/kv/{binding}/delete", delete_form),
    ("POST", "/kv/{binding}/delete", delete),
)
