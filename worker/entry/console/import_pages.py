"""
Imports: send an NDJSON file to the Worker's own door, watch it, read the report.

The file goes through in chunks and is held nowhere. With JavaScript its progress is told live;
without, the form answers with the report.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from durable.local_socket import LocalSocket
from durable.socket_frames import Closed
from worker.entry.console import own_caller
from worker.entry.console.file_form import FileForm, answer_change, open_file_form
from worker.entry.console.guard import SECURITY_HEADERS
from worker.entry.console.recent_imports import recent, running
from worker.errors import IncompleteBody
from worker.web import Response

if TYPE_CHECKING:
    from worker.entry.console.frame import Console, Page

_DOOR: Final = "/api/profiles/import"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ERRORS_SHOWN: Final = 100
_HEARTBEAT_SECONDS: Final = 10.0
_UNDER_WAY: Final = ("running", "committing")


async def imports(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the drop zone, what runs, and the newest reports."""
    return console.render(
        request,
        "imports.html",
        running=running(console),
        reports=await recent(console),
        store=console.env.settings.profile_store,
        most=console.env.settings.import_max_bytes,
    )


async def send(console: "Console", request: web.Request) -> web.StreamResponse:
    """POST: import the file of the form; leads to its report."""
    form = await open_file_form(console, request)
    query = {"mode": form.fields.get("mode", "partial")}
    if form.fields.get("id"):
        query["id"] = form.fields["id"]
    chunks = _whole(form)
    first = await anext(chunks, b"")
    kind = "application/gzip" if first.startswith(_GZIP_MAGIC) else "application/x-ndjson"
    answer = await own_caller.ask(
        console, "POST", _DOOR, query, {"Content-Type": kind}, _with_first(first, chunks)
    )
    told = own_caller.document(answer)
    if "import_id" not in told:
        return _refused(console, request, answer)
    path = f"/imports/report?id={told['import_id']}"
    if answer.status in (200, 207):
        words = f"{told['profiles_stored']:,} profiles stored, {told['lines_invalid']:,} refused."
        return answer_change(console, request, path, words)
    words = " ".join(filter(None, (told.get("title", "") + ".", told.get("detail", ""))))
    return answer_change(console, request, path, words, "bad")


async def _whole(form: FileForm) -> AsyncIterator[bytes]:
    try:
        async for chunk in form.chunks():
            yield chunk
    except web.HTTPBadRequest:
        # In the words of the Worker, which concludes the report of what came until then.
        raise IncompleteBody("The connection ended before the body did.") from None


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def _refused(console: "Console", request: web.Request, answer: Response) -> web.Response:
    told = own_caller.document(answer)
    words = " ".join(filter(None, (told.get("title", "") + ".", told.get("detail", ""))))
    return console.refuse(request, answer.status, words)


async def progress(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the import's own progress socket as server-sent events; ends with "report" or "end"."""
    answer = await own_caller.ask(
        console,
        "GET",
        f"{_DOOR}/progress",
        {"id": request.query.get("id", "")},
        {"Upgrade": "websocket"},
    )
    if answer.web_socket is None:
        return _refused(console, request, answer)
    end: LocalSocket = answer.web_socket
    events = web.StreamResponse(
        headers={**SECURITY_HEADERS, "Content-Type": "text/event-stream; charset=utf-8"}
    )
    try:
        await events.prepare(request)
        if request.method != "HEAD":
            await _pass_on(end, events)
    finally:
        end.drop()
    return events


async def _pass_on(end: LocalSocket, events: web.StreamResponse) -> None:
    while True:
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                message = await end.receive()
        except TimeoutError:
            # A word now and then tells a connection that lives from one that is gone.
            await events.write(b": still here\n\n")
            continue
        if isinstance(message, Closed):
            await events.write(b'data: {"event":"end"}\n\n')
            return
        text = message if isinstance(message, str) else message.decode()
        # JSON on one line, as an event's data has to be.
        await events.write(f"data: {text}\n\n".encode())


async def report(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the report of ?id=, its errors from ?from= on."""
    answer = await own_caller.ask(
        console, "GET", f"{_DOOR}/report", {"id": request.query.get("id", "").strip()}
    )
    if answer.status != 200:
        return _refused(console, request, answer)
    made = own_caller.document(answer)
    begin = _begin(request)
    errors: list[dict[str, Any]] = made["errors"]
    following = begin + _ERRORS_SHOWN
    return console.render(
        request,
        "import_report.html",
        report=made,
        is_under_way=made["state"] in _UNDER_WAY,
        errors=errors[begin:following],
        begin=begin,
        next=following if following < len(errors) else None,
    )


async def report_file(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the report as a JSON file to save."""
    answer = await own_caller.ask(
        console, "GET", f"{_DOOR}/report", {"id": request.query.get("id", "")}
    )
    if answer.status != 200:
        return _refused(console, request, answer)
    made = own_caller.document(answer)
    return web.Response(
        body=json.dumps(made, indent=2, ensure_ascii=False).encode(),
        content_type="application/json",
        # The door has judged the id: letters, digits and _.
        headers={"Content-Disposition": f'attachment; filename="{request.query["id"]}.json"'},
    )


def _begin(request: web.Request) -> int:
    text = request.query.get("from", "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise web.HTTPBadRequest(text="“from” must be a whole number: which error comes first.")
    return int(text)


PAGES: "tuple[tuple[str, str, Page], ...]" = (
    ("GET", "/imports", imports),
    ("POST", "/imports", send),
    ("GET", "/imports/progress", progress),
    ("GET", "/imports/report", report),
    ("GET", "/imports/report.json", report_file),
)
