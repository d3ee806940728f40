"""`edgekeep routes`: every door, who may call it and how often; docs/doors.md is the same table."""

from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scripts.cli.outcome import OK, show_json, table, tell
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from worker.identity.caller import Who
    from worker.limits import RateLimit
    from worker.route_table import Route

Summaries = dict[tuple[str, str], str]
_HEAD = ("method", "path", "who", "limit", "what")
_PAGE = """\
# Doors

<!-- Made by `edgekeep docs` from worker/routes.py and openapi.yaml; a test holds all together. -->

Every door of the Worker, as `edgekeep routes` prints it. HEAD comes with GET, OPTIONS with every
path; any other spelling of a path is a 404. Beside the limit of its row each door has the general
one: {general}.

- **anyone**: no credential is needed. One that is sent and does not hold is refused all the same (a
  stale cookie is not).
- **signed in**: a person with an account and a session; *within {minutes} min*: whose sign-in is no
  older.
- **scope**: a token that holds it; the roles that bring it stand in [accounts.md](accounts.md).
- **for …**: the audience of the token; without it, the API's. Cookies open doors of the API only.
"""


def add(verbs: Verbs) -> None:
    """Add `routes`."""
    parser = verbs.add(
        "routes",
        _routes,
        "Print every door: method, path, who may call it, and how often.",
        ["edgekeep routes", "edgekeep routes --all --json"],
    )
    parser.add_argument("--all", action="store_true", help="with planned doors, which answer 501")
    parser.add_argument("--json", action="store_true", help="for scripts")


def _routes(options: Namespace) -> int:
    from worker.routes import ROUTES

    found = [route for route in ROUTES if options.all or not route.planned]
    said = _summaries()
    if options.json:
        show_json([_described(route, said) for route in found])
        return OK
    print(table([_row(route, said) for route in found], _HEAD))
    planned = len(ROUTES) - len(found)
    if planned:
        tell(f"{planned} more doors are planned and answer 501: edgekeep routes --all")
    return OK


def who_may(who: "Who") -> str:
    """Say in a few words who may call a door."""
    from worker.limits import RECENT_SIGN_IN_SECONDS

    words = []
    if who.scope:
        words.append(f"scope {who.scope}")
    if who.recent:
        words.append(f"signed in within {RECENT_SIGN_IN_SECONDS // 60} min")
    elif who.person:
        words.append("signed in")
    text = " + ".join(words) or ("anyone" if not who.closed else "a token")
    if who.audience != "api":
        text += f", for {who.audience}" if who.audience != "any" else ", any audience"
    return f"{text} (or ?token=)" if who.query_token else text


def how_often(limit: "RateLimit | None") -> str:
    """Say how often a door may be called beside the general limit."""
    if limit is None:
        return "-"
    if limit.per_second >= 1:
        rate = f"{limit.per_second:g}/s"
    else:
        rate = f"1 in {1 / limit.per_second:g} s"
    return f"{rate}, burst {limit.burst}, by {limit.by}"


def _summaries() -> Summaries:
    from importlib.resources import files

    from worker.api_page.summaries import summaries

    return summaries((files("worker.api_page") / "files" / "openapi.json").read_bytes())


def page_lines(said: Summaries) -> Iterator[str]:
    """Yield the lines of docs/doors.md; *said*: what each door is for."""
    from worker.limits import GENERAL, RECENT_SIGN_IN_SECONDS
    from worker.routes import ROUTES

    yield _PAGE.format(general=how_often(GENERAL), minutes=RECENT_SIGN_IN_SECONDS // 60)
    yield "| Method | Path | Who | Limit | What |\n|---|---|---|---|---|"
    for route in ROUTES:
        if not route.planned:
            method, path, who, limit, what = _row(route, said)
            yield f"| {method} | `{path}` | {who} | {limit} | {what} |"
    yield "\nPlanned, and 501 until they open:\n"
    for area in dict.fromkeys(route.planned for route in ROUTES if route.planned):
        doors = [one for one in ROUTES if one.planned == area]
        yield f"- {area}: " + ", ".join(f"`{one.method} {one.path}`" for one in doors)
    yield ""


def _row(route: "Route", said: Summaries) -> tuple[str, ...]:
    door = route.method, route.path
    if route.planned:
        return *door, "-", "-", f"planned ({route.planned})"
    return *door, who_may(route.who), how_often(route.limit), said[door]


def _described(route: "Route", said: Summaries) -> dict[str, Any]:
    who, limit = route.who, route.limit
    return {
        "method": route.method,
        "path": route.path,
        "planned": bool(route.planned),
        "summary": route.planned or said[route.method, route.path],
        "open_to_strangers": not who.closed,
        "scope": who.scope or None,
        "person": who.person or who.recent,
        "recent_sign_in": who.recent,
        "audience": who.audience,
        "query_token": who.query_token,
        "cors": route.cors,
        "limit": limit and {"per_second": limit.per_second, "burst": limit.burst, "by": limit.by},
    }
