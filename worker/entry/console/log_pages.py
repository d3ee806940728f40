"""The request log: its last lines with filters, and a live tail by server-sent events."""

import asyncio
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from aiohttp import web

from worker.entry.console.guard import SECURITY_HEADERS
from worker.entry.console.log_filter import (
    LEVELS,
    METHOD_CHOICES,
    LogFilter,
)
from worker.entry.console.log_tail import KEPT_LINES

if TYPE_CHECKING:
    from worker.entry.console.frame import Console, Page

_SHOWN: Final = 200
# A browser gets at most so many lines at a time, with a pause between: it has to draw them.
_LINES_AT_A_TIME: Final = 200
_PAUSE_SECONDS: Final = 0.1
# A word now and then tells a connection that lives from one that is gone.
_HEARTBEAT_SECONDS: Final = 10.0


async def log(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the newest lines that pass the filter."""
    wanted = LogFilter.of(request.query)
    console.env.log.flush()
    rows = []
    for line in reversed(console.tail.lines()):
        row = wanted.row(line)
        if row is not None:
            rows.append(row)
            if len(rows) == _SHOWN:
                break
    query = urlencode(wanted.query())
    return console.render(
        request,
        "log.html",
        rows=rows,
        wanted=wanted,
        is_filtered=bool(query),
        kept=KEPT_LINES,
        most=_SHOWN,
        levels=LEVELS,
        methods=METHOD_CHOICES,
        stream=f"/log/stream?{query}",
        seen=console.tail.count,
    )


async def stream(console: "Console", request: web.Request) -> web.StreamResponse:
    """
    GET: the lines that come, as events `{"rows": […], "lost": n}`; the id counts lines.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    wanted = LogFilter.of(request.query)
    answer = web.StreamResponse(
        headers={**SECURITY_HEADERS, "Content-Type": "text/event-stream; charset=utf-8"}
    )
    await answer.prepare(request)
    if request.method == "HEAD":
        return answer
    watcher = console.tail.watch(_seen(request))
    try:
        # Without a word the browser would wait for the first line to call it open.
        await answer.write(b"retry: 1000\n\n")
        while not console.tail.is_closed:
            await watcher.wait(_HEARTBEAT_SECONDS)
            lines, lost = watcher.take(_LINES_AT_A_TIME)
            rows = [row for line in lines if (row := wanted.row(line)) is not None]
            if rows or lost:
                data = json.dumps({"rows": rows, "lost": lost})
                await answer.write(f"id: {watcher.seen}\ndata: {data}\n\n".encode())
                await asyncio.sleep(_PAUSE_SECONDS)
            elif not lines:
                await answer.write(b":\n\n")
    except ConnectionError:
        # The reader went away; there is nobody left to tell.
        pass
    finally:
        console.tail.leave(watcher)
    return answer


def _seen(request: web.Request) -> int | None:
    """Return up to where the browser knows the log: from the page, or before it lost us."""
    text = request.headers.get("Last-Event-ID") or request.query.get("seen", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


PAGES: "tuple[tuple[str, str, Page], ...]" = (
    ("GET", "/log", log),
    ("GET", "/log/stream", stream),
)
