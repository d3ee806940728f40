"""The overview: what runs, what is bound to what, which doors there are, what went wrong lately."""

import json
import platform
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from d1_schema.sqlite import engine
from kv.checks import KVError
from worker.api_page.summaries import summaries
from worker.entry.console.kv_pages import namespace_of
from worker.entry.console.shown import counted, duration, moment
from worker.identity.caller import Who
from worker.route_table import Route

if TYPE_CHECKING:
    from worker.entry.console.frame import Console, Page

_ERRORS_SHOWN: Final = 10
# Counting is for small stores; of more keys than one page holds only "more than" is said.
_COUNTED_KEYS: Final = 1000


async def overview(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: the first page."""
    opened = console.opened
    document = console.env.tools.shipped("openapi.json")
    return console.render(
        request,
        "overview.html",
        facts=_facts(console),
        bindings=await _bindings(console),
        faults=opened.env.settings.faults,
        who=who_may_call,
        said=summaries(document) if document else {},
        areas=_areas(console.worker.table.resources.values()),
        errors=_errors(console.tail.lines()),
    )


def _facts(console: "Console") -> list[tuple[str, str]]:
    now = console.env.tools.now()
    return [
        ("Edgekeep", console.version),
        ("Environment", console.env.settings.environment),
        ("State directory", str(console.opened.stores.state.absolute())),
        ("Configuration", str(console.opened.config.path)),
        ("Started", f"{moment(console.started_at)} ({duration(now - console.started_at)} ago)"),
        ("Python", f"{platform.python_version()} on {platform.system()}"),
        ("SQLite", engine.VERSION),
    ]


async def _bindings(console: "Console") -> list[dict[str, str]]:
    """One row for each binding: kind, adapter, a figure, and where to look into it."""
    opened, config = console.opened, console.opened.config
    kv_adapter, r2_adapter = opened.stores.kv_adapter, opened.stores.r2_adapter
    rows = [
        _row(name, "KV", kv_adapter, await _keys(console, name), f"/kv/{name}")
        for name in config.kv
    ]
    for bound in config.d1:
        fresh = counted(len(opened.migrated), "migration")
        figure = f"{fresh} applied at this start" if opened.migrated else "migrations up to date"
        rows.append(_row(bound.binding, "D1", "embedded", figure, f"/d1/{bound.binding}"))
    for name, bucket in config.r2.items():
        rows.append(_row(name, "R2", r2_adapter, f"bucket {bucket}", f"/r2/{name}"))
    for name, class_name in config.actors.items():
        live = len(opened.actors.live(class_name))
        rows.append(_row(name, "Durable Object", "embedded", f"{live} in memory", "/objects"))
    return rows


def _row(name: str, kind: str, adapter: str, figure: str, path: str) -> dict[str, str]:
    return {"name": name, "kind": kind, "adapter": adapter, "figure": figure, "path": path}


async def _keys(console: "Console", binding: str) -> str:
    """Count the keys of one page only: a figure must not cost a walk through a large store."""
    namespace = namespace_of(console, binding)
    if namespace is None:
        return "not used by this Worker"
    try:
        page = await namespace.list(limit=_COUNTED_KEYS)
    except KVError:
        return "does not answer"
    count = len(page.keys)
    more = "" if page.list_complete else "more than "
    return more + counted(count, "key")


def _areas(resources: Iterable[Any]) -> list[tuple[str, list[Route]]]:
    """Group the doors: those that are open, then those of each planned area."""
    routes = [route for resource in resources for route in resource.methods.values()]
    open_doors = [route for route in routes if not route.planned]
    planned: dict[str, list[Route]] = {}
    for route in routes:
        if route.planned:
            planned.setdefault(route.planned, []).append(route)
    return [("Open doors", open_doors), *planned.items()]


def who_may_call(who: Who) -> str:
    """Say for people whom a door lets in; code stands between backticks."""
    terms = []
    if who.audience != "api":
        kind = "of any kind" if who.audience == "any" else f"for `{who.audience}`"
        terms.append(f"a token {kind}")
    if who.scope:
        terms.append(f"scope `{who.scope}`")
    if who.recent or who.person:
        terms.append("signed in a moment ago" if who.recent else "signed in")
    return ", ".join(terms) or "anyone"


def _errors(lines: list[str]) -> list[dict[str, Any]]:
    """Return the newest lines of level warning and error, newest first."""
    found: list[dict[str, Any]] = []
    for line in reversed(lines):
        # Cheaper than parsing two thousand lines of requests.
        if '"level":"error"' in line or '"level":"warning"' in line:
            found.append(json.loads(line))
            if len(found) == _ERRORS_SHOWN:
                break
    return found


PAGES: "tuple[tuple[str, str, Page], ...]" = (("GET", "", overview),)
