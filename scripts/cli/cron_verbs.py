"""`edgekeep cron …`: what is scheduled, and running one now."""

import asyncio
import sys
from argparse import Namespace
from datetime import UTC, datetime

from scripts.cli.outcome import OK, REFUSED, CliError, show_json, table, tell
from scripts.cli.place import Place, add_place
from scripts.cli.verbs import Verbs


def add(verbs: Verbs) -> None:
    """Add the group `cron`."""
    group = verbs.group("cron", "list schedules and run one now")
    listing = group.add(
        "list",
        _list,
        "Print the crons of the configuration and when each is due next (UTC).",
        ["edgekeep cron list", "edgekeep cron list --json"],
    )
    listing.add_argument("--json", action="store_true", help="for scripts")
    run = group.add(
        "run",
        _run,
        "Run the job of a cron now: in the server that runs on the state, otherwise here.",
        ["edgekeep cron run", 'edgekeep cron run "17 3 * * *"'],
    )
    run.add_argument("cron", metavar="EXPR", nargs="?", help="may be left out when there is one")
    for parser in (listing, run):
        add_place(parser)


def _list(options: Namespace) -> int:
    from worker.entry.crons import next_run

    now = datetime.now(UTC)
    due = [(cron, next_run(cron, now)) for cron in Place.of(options).config.crons]
    if options.json:
        show_json([{"cron": cron, "next": f"{when:%Y-%m-%dT%H:%M:%SZ}"} for cron, when in due])
    else:
        rows = [(cron, f"{when:%a %Y-%m-%d %H:%M}") for cron, when in due]
        print(table(rows, ("cron", "next (UTC)")))
    return OK


def _run(options: Namespace) -> int:
    place = Place.of(options)
    cron = options.cron or _only(place.config.crons)
    if cron not in place.config.crons:
        raise CliError(f"{cron} is not in [triggers] crons of {place.config.path}.")
    done = asyncio.run(_ask_host(place, cron) if place.hosted else _run_here(place, cron))
    if not done:
        raise CliError(f"The job of {cron} failed; the log says where.", REFUSED)
    tell(f"The job of {cron} ran.")
    return OK


def _only(crons: tuple[str, ...]) -> str:
    if len(crons) != 1:
        raise CliError(f"Say which: {', '.join(crons) or 'the configuration has no cron'}.")
    return crons[0]


async def _ask_host(place: Place, cron: str) -> bool:
    from scripts.cli.server import reach

    async with (
        reach(place.url, certificate=place.certificate_of(place.url)) as session,
        session.get("cdn-cgi/handler/scheduled", params={"cron": cron}) as response,
    ):
        return response.status == 200


async def _run_here(place: Place, cron: str) -> bool:
    from worker.app import Worker
    from worker.entry.open_env import open_env

    with place.alone("run a job here"):
        opened = await open_env(place.config, place.state, place.variables, _to_stderr)
        try:
            return await Worker().scheduled(cron, opened.env)
        finally:
            await opened.close()


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)
