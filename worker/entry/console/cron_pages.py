"""Crons: when each is due, what became of it, and a button to run it now."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from worker.entry.crons import next_run

if TYPE_CHECKING:
    from worker.entry.console.frame import Console, Page


async def crons(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the crons of wrangler_compat.toml."""
    now = datetime.fromtimestamp(console.env.tools.now(), UTC)
    rows = [_row(console, cron, now) for cron in console.opened.config.crons]
    return console.render(request, "crons.html", crons=rows)


def _row(console: "Console", cron: str, now: datetime) -> dict[str, Any]:
    job = console.worker.schedules.get(cron)
    return {
        "cron": cron,
        "job": (job.__doc__ or job.__name__).strip().splitlines()[0] if job else "",
        "next": next_run(cron, now).timestamp(),
        "last": console.crons.last.get(cron),
    }


async def run(console: "Console", request: web.Request) -> web.StreamResponse:
    """POST: run one cron now and wait for its end."""
    form = await console.form(request)
    cron = form.get("cron", "")
    if cron not in console.opened.config.crons:
        raise web.HTTPNotFound(text="There is no such cron.")
    if await console.crons.scheduled(cron, console.env):
        return console.redirect(request, "/crons", f"{cron} ran to its end.")
    return console.redirect(request, "/crons", f"{cron} failed; the request log says where.", "bad")


PAGES: "tuple[tuple[str, str, Page], ...]" = (
    ("GET", "/crons", crons),
    ("POST", "/crons/run", run),
)
