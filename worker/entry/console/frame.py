"""
The frame of the console: its pages, who may open them, how they are rendered, how changes come in.

A page module exports `PAGES`, rows of (method, path below /_console, page). GET changes nothing;
a POST is checked by `Console.form` or `Console.check_csrf` and ends in `Console.redirect`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from worker.app import Worker
from worker.entry.console import templating
from worker.entry.console.csrf import Csrf
from worker.entry.console.guard import SECURITY_HEADERS, names_of, refusal
from worker.entry.console.log_tail import LogTail
from worker.entry.cron_record import RecordedCrons
from worker.entry.open_env import Opened
from worker.entry.run_key import RunKey
from worker.env import Env
from worker.limits import MIB
from worker.passing import passes

Page: TypeAlias = Callable[["Console", web.Request], Awaitable[web.StreamResponse]]

ROOT: Final = "/_console"
FORM_BYTES: Final = 26 * MIB
_CLOSED: Final = (
    "Open the console with the link that `edgekeep dev` printed at its start; "
    "`edgekeep console` prints it again."
)
_FORM_FIELDS: Final = 200
_VISITS_WITH_NOTICES: Final = 64
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
# Larger ones are decoded off the loop: a megabyte takes 10 ms.
_SMALL_FORM: Final = 64 * 1024

# Path below /_console (its first segment tells which area a page belongs to), and the name.
NAVIGATION: Final = (
    ("", "Overview"),
    ("/kv", "KV"),
    ("/d1", "D1"),
    ("/r2", "R2"),
    ("/objects", "Durable Objects"),
    ("/imports", "Imports"),
    ("/log", "Request log"),
    ("/crons", "Crons"),
    ("/settings", "Settings"),
)


class Notice(NamedTuple):
    """What a page says once, after a change: *kind* is "good" or "bad"."""

    kind: str
    text: str


class Console:
    """The console of one host that listens at the address *bound*."""

    def __init__(
        self,
        opened: Opened,
        worker: Worker,
        tail: LogTail,
        variables: Mapping[str, str],
        key: RunKey,
        bound: str = "127.0.0.1",
    ) -> None:
        self.opened = opened
        self.worker = worker
        self.crons = RecordedCrons(worker)
        self.tail = tail
        self.variables = variables
        self.started_at = opened.env.tools.now()
        self.memory: dict[str, Any] = {}
        """What a page module remembers between requests, under its own name."""
        self.names = names_of(bound)
        """The names it answers to."""
        self._key = key
        self._csrf = Csrf(opened.env.tools.random_bytes)
        self._templates = templating.Templates()
        self._static = templating.StaticFiles()
        self._router: web.UrlDispatcher | None = None
        self._loading = asyncio.Lock()
        self._notices: OrderedDict[str, list[Notice]] = OrderedDict()

    @property
    def env(self) -> Env:
        """The bag of bindings."""
        return self.opened.env

    @property
    def version(self) -> str:
        """The version of Edgekeep that runs."""
        from importlib.metadata import version

        return version("edgekeep")

    def routes(self, app: web.Application) -> None:
        """Let *app* hand everything below /_console to the pages, and end watching at its stop."""
        app[templating.KEY] = self._templates
        app.router.add_route("*", ROOT, self._enter)
        app.router.add_route("*", ROOT + "/{rest:.*}", self._enter)

        async def end_watching(_app: web.Application) -> None:
            self.tail.close()

        app.on_shutdown.append(end_watching)

    def render(
        self, request: web.Request, name: str, status: int = 200, **context: Any
    ) -> web.Response:
        """Render the template *name* with *context* and what base.html needs."""
        area = request.path.removeprefix(ROOT).split("/")[1:2]
        frame = {
            "root": ROOT,
            "navigation": NAVIGATION,
            "area": f"/{area[0]}" if area and area[0] else "",
            "csrf": self._csrf.token(request),
            "notices": self._notices.pop(self._csrf.visit(request), []),
            "now": self.env.tools.now(),
            "version": self.version,
            "host": request.host,
        }
        return templating.render(request, name, status, {**frame, **context})

    def redirect(
        self, request: web.Request, path: str, notice: str, kind: str = "good"
    ) -> web.Response:
        """Answer a change: 303 to *path* (below /_console, escaped), which will show *notice*."""
        visit = self._csrf.visit(request)
        self._notices.setdefault(visit, []).append(Notice(kind, notice))
        self._notices.move_to_end(visit)
        while len(self._notices) > _VISITS_WITH_NOTICES:
            self._notices.popitem(last=False)
        return web.Response(status=303, headers={"Location": ROOT + path})

    async def form(self, request: web.Request) -> MultiDictProxy[str]:
        """
        Read a form that changes something.

        Raises `web.HTTPForbidden` (no valid token), `web.HTTPRequestEntityTooLarge` (26 MiB),
        `web.HTTPUnsupportedMediaType`, `web.HTTPBadRequest` (not a form).
        """
        if request.content_type != _FORM_TYPE:
            raise web.HTTPUnsupportedMediaType(text=f"Send the form as {_FORM_TYPE}.")
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > FORM_BYTES:
                raise web.HTTPRequestEntityTooLarge(
                    FORM_BYTES, len(body), text="A form may have 26 MiB at most."
                )
        try:
            if len(body) <= _SMALL_FORM:
                fields = _fields(bytes(body))
            else:
                fields = await asyncio.to_thread(_fields, bytes(body))
        except ValueError:
            raise web.HTTPBadRequest(text="The form cannot be read.") from None
        self.check_csrf(request, fields.get("csrf", ""))
        return MultiDictProxy(fields)

    def check_csrf(self, request: web.Request, token: str | None = None) -> None:
        """
        Refuse a change whose *token* no page of this run was given.

        Without *token* it is read from the query (`csrf`) or the header X-CSRF-Token: for bodies
        that are streamed. Raises `web.HTTPForbidden`.
        """
        if token is None:
            token = request.headers.get("X-CSRF-Token") or request.query.get("csrf", "")
        if not self._csrf.accepts(request, token):
            raise web.HTTPForbidden(
                text="The form was not made by this run of the host, or its cookie is gone. "
                "Go back, reload the page and send it again."
            )

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        reason = refusal(request, self.names)
        if reason is None and self._key.is_offered(request):
            answer: web.StreamResponse = self._key.keep(request)
        elif reason is not None or not self._key.is_shown(request):
            answer = web.Response(status=403, text=f"{reason or _CLOSED}\n")
        else:
            answer = await self._answer(await self._page_of(request), request)
            self._csrf.keep(request, answer)
        if not answer.prepared:
            answer.headers.update(SECURITY_HEADERS)
        return answer

    async def _page_of(self, request: web.Request) -> Page:
        """Find the page, with its parameters in `match_info`; the first look loads them all."""
        async with self._loading:
            if self._router is None:
                await self._templates.load()
                # Off the loop, and not at the start of the host: together it takes 100 ms and more.
                self._router = await asyncio.to_thread(_load_pages)
        found = await self._router.resolve(request)
        if found.http_exception is not None:
            return _no_page
        request.match_info.update(found)
        page: Page = found.handler  # type: ignore[assignment]
        return page

    async def _answer(self, page: Page, request: web.Request) -> web.StreamResponse:
        try:
            return await page(self, request)
        except web.HTTPException as error:
            if error.status < 400:
                return web.Response(status=error.status, headers=error.headers)
            return self.refuse(request, error.status, error.text or error.reason)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            if passes(error):
                self.env.log.error("store_unavailable", error)
                text = "The store does not answer. Is its server running?"
                return self.refuse(request, 503, text)
            self.env.log.error("console_failed", error)
            return self.refuse(
                request, 500, "The console failed at this. The log says where, on its last lines."
            )

    def refuse(self, request: web.Request, status: int, text: str) -> web.Response:
        """Return a page that says in *text* why there is no other."""
        return self.render(request, "refusal.html", status, number=status, text=text)

    async def static_file(self, name: str) -> web.Response:
        """Return a static file; raises `web.HTTPNotFound`."""
        found = await self._static.answer(name)
        if found is None:
            raise web.HTTPNotFound(text="There is no such file.")
        return found


def _load_pages() -> web.UrlDispatcher:
    """Return a router whose handlers are pages."""
    from worker.entry.console import pages

    router = web.UrlDispatcher()
    rows = [row for module in pages.MODULES for row in module.PAGES]
    for method, path, page in (*rows, ("GET", "/static/{name}", _static_file)):
        add = router.add_get if method == "GET" else router.add_post
        add(ROOT + path, page)
    return router


def _fields(body: bytes) -> MultiDict[str]:
    """Decode a form; raises ValueError."""
    return MultiDict(
        parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_FORM_FIELDS,
        )
    )


async def _static_file(console: Console, request: web.Request) -> web.StreamResponse:
    return await console.static_file(request.match_info["name"])


async def _no_page(console: Console, request: web.Request) -> web.StreamResponse:
    if request.path == ROOT + "/" and request.method in ("GET", "HEAD"):
        raise web.HTTPFound(ROOT)
    return console.refuse(request, 404, "The console has no such page.")
