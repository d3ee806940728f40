"""`edgekeep docs`: writes what is made from tables in the code and from docs/openapi/."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.cli.outcome import OK, PARTLY, CliError, tell
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from worker.errors import Problem

_MADE = "<!-- Made by `edgekeep docs` from {source}; a test holds both together. -->\n"
_CHECKOUT = Path(__file__).resolve().parents[2]


def add(verbs: Verbs) -> None:
    """Add `docs`."""
    parser = verbs.add(
        "docs",
        _docs,
        "Write docs/settings.md, errors.md, limits.md and doors.md from the tables in the code, "
        "and openapi.yaml and what /openapi.json and /docs serve from docs/openapi/.",
        ["edgekeep docs", "edgekeep docs --refresh-assets latest"],
    )
    parser.add_argument("--check", action="store_true", help="only compare; 1 when out of date")
    parser.add_argument(
        "--refresh-assets",
        metavar="VERSION",
        help="fetch the viewer of /docs (swagger-ui-dist) anew with npm",
    )


def _docs(options: Namespace) -> int:
    if options.refresh_assets is not None:
        _refresh(options.refresh_assets)
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if options.check and stale:
        names = ", ".join(path.name for path in stale)
        raise CliError(f"Out of date: {names}. Run: edgekeep docs", PARTLY)
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
        tell(f"wrote {path}")
    return OK


def _refresh(version: str) -> None:
    from scripts.api_page.vendored_viewer import FOLDER, ViewerError, refresh

    try:
        manifest = refresh(_CHECKOUT, version)
    except ViewerError as error:
        raise CliError(str(error)) from None
    tell(f"wrote {manifest['package']} {manifest['version']} to {_CHECKOUT / FOLDER}")


def pages(checkout: Path = _CHECKOUT) -> dict[Path, str]:
    """Return the text of each generated page by its path."""
    from scripts.api_page.document import as_json, join, parse
    from scripts.api_page.page import render
    from scripts.cli.doors import page_lines
    from worker.api_page.summaries import summaries

    joined = join(checkout)
    document = parse(joined)
    served = as_json(document)
    shipped = checkout / "worker" / "api_page" / "files"
    return {
        checkout / "openapi.yaml": joined,
        shipped / "openapi.json": served,
        shipped / "page.html": render(document),
        checkout / "docs" / "settings.md": "\n".join(_settings()),
        checkout / "docs" / "errors.md": "\n".join(_errors()),
        checkout / "docs" / "doors.md": "\n".join(page_lines(summaries(served))),
        checkout / "docs" / "limits.md": "\n".join(_limits()),
    }


def _settings() -> Iterator[str]:
    from worker.settings import SETTINGS

    yield "# Settings\n"
    yield _MADE.format(source="worker/settings.py")
    yield (
        "Values come from `[vars]` of wrangler_compat.toml, over them `.dev.vars` (or the\n"
        "platform's secrets), over them, on a host, the environment. Secrets have no default:\n"
        "`edgekeep dev` makes development secrets, which a production start refuses.\n"
    )
    yield "| Name | Kind | Default | Meaning |\n|---|---|---|---|"
    for row in SETTINGS:
        kind = "secret" if row.hidden else row.kind
        default = f"`{row.default}`" if row.default else "none"
        yield f"| `{row.name}` | {kind} | {default} | {row.help.replace('|', '&#124;')} |"
    yield ""


def _limits() -> Iterator[str]:
    from worker.limits import GENERAL, RATE_LIMITS, SLOW_DOWNS
    from worker.routes import ROUTES

    yield "# Rate limits\n"
    yield _MADE.format(source="worker/limits.py and worker/routes.py")
    yield (
        "Who asks too often gets 429 `rate_limited` with `Retry-After` (whole seconds).\n"
        "`general` holds for every request, the others beside it for the doors they name. An\n"
        "IPv6 address counts by its /64, and for the `…_network` rows by its /48. The setting\n"
        "`RATE_LIMITS` switches all of this ([settings](settings.md)); what counts where, and\n"
        "behind which proxies, is told in [security](security.md).\n"
    )
    yield "| Row | At once | For long | Counted by | Doors |\n|---|---|---|---|---|"
    for row in RATE_LIMITS:
        doors = [f"`{route.method} {route.path}`" for route in ROUTES if route.limit is row]
        where = "all" if row is GENERAL else ", ".join(doors) or row.note
        yield f"| `{row.name}` | {row.burst} | {_pace(row.per_second)} | {row.by} | {where} |"
    yield "\n## Failed sign-ins\n"
    yield (
        "Each row counts failures; after the free ones the next try waits, each time twice as\n"
        "long. From an address from where a name signed in well before (30 days), the row\n"
        "`sign_in_name` does not hold for it; on a device on which it did (a year) only\n"
        "`sign_in_device` does.\n"
    )
    yield "| Row | Free | First wait | Longest wait | Forgets one every |\n|---|---|---|---|---|"
    for slow in SLOW_DOWNS:
        yield (
            f"| `{slow.name}` | {slow.free} | {slow.first_wait:g} s | {slow.longest_wait:g} s | "
            f"{slow.forget_seconds:g} s |"
        )
    yield ""


def _pace(per_second: float) -> str:
    """Return how often that is, in a number that one can read."""
    for seconds, name in ((1, "a second"), (60, "a minute"), (3600, "an hour")):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:g} {name}"
    return f"{per_second * 86_400:g} a day"


def _errors() -> Iterator[str]:
    yield "# Errors\n"
    yield _MADE.format(source="worker/errors.py and the errors.py of each slice")
    yield (
        "Every refusal is a problem document (RFC 9457, `application/problem+json`) with `type`,\n"
        "`title`, `status`, `error` and `request_id`, mostly `detail`, and `errors` where fields\n"
        "or lines are at fault. `error` is the stable code below; build on it, not on texts.\n"
    )
    yield "| Status | `error` | Title | When |\n|---|---|---|---|"
    for problem in sorted(problems(), key=lambda each: (each.status, each.code)):
        when = " ".join((problem.__doc__ or "").split())
        yield f"| {problem.status} | `{problem.code}` | {problem.title} | {when} |"
    yield ""


def problems() -> "list[type[Problem]]":
    """Return every refusal there is: with the doors come the errors of their slices."""
    import worker.routes  # noqa: F401
    from worker.errors import Problem

    return list(_family(Problem))


def _family(root: "type[Problem]") -> "Iterator[type[Problem]]":
    for child in root.__subclasses__():
        yield child
        yield from _family(child)
