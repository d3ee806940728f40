"""`edgekeep report`: what an import did, and each line that was refused."""

import asyncio
from argparse import Namespace
from typing import Any

from scripts.cli.outcome import OK, PARTLY, CliError, show_json, table
from scripts.cli.profiles_import import error_rows
from scripts.cli.server import Target, add_server, read_json
from scripts.cli.verbs import Verbs


def add(verbs: Verbs) -> None:
    """Add `report`."""
    report = verbs.add(
        "report",
        _report,
        "Print the report of an import: what was stored, and each line that was refused.",
        ["edgekeep report imp_20261121080000_a1b2c3d4", "edgekeep report imp_… --json"],
    )
    report.add_argument("id", metavar="ID", help="the import id")
    report.add_argument("--json", action="store_true", help="for scripts")
    add_server(report)


def _report(options: Namespace) -> int:
    tell(options, asyncio.run(_fetch(options)))
    return OK


def tell(options: Namespace, report: dict[str, Any]) -> None:
    """Print *report* for a person, or as JSON when *options* ask for it."""
    if options.json:
        show_json(report)
    else:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    failure = f" ({report['failure']})" if report.get("failure") else ""
    print(f"{report['import_id']}: {report['state']}{failure}, {report['mode']} mode")
    print(f"started {report['started_at']}, last change {report['updated_at']}")
    print(
        f"{report['lines_total']:,} lines: {report['profiles_stored']:,} profiles stored, "
        f"{report['lines_invalid']:,} lines refused"
    )
    if report.get("seems"):
        print(report["seems"])
    if waits := report.get("waits"):
        following = f"; the next is at {waits['next_try_at']}" if "next_try_at" in waits else ""
        print(f"the store is awaited: {waits['tries']} tries in vain{following}")
    if report["errors"]:
        print("\n" + table(error_rows(report["errors"]), ("line", "path", "message")))
    if report["errors_truncated"]:
        print(f"… of {report['errors_total']:,} errors; the rest was not kept.")
    if doubles := report.get("duplicates"):
        rows = [(str(one["line_no"]), str(one["replaced_by"])) for one in doubles]
        print("\n" + table(rows, ("line", "replaced by")))


async def _fetch(options: Namespace) -> Any:
    async with (
        Target(options, "profiles:import profiles:audit").session() as session,
        session.get("api/profiles/import/report", params={"id": options.id}) as response,
    ):
        if response.status == 404:
            raise CliError("There is no such report; reports are kept for a limited time.", PARTLY)
        return await read_json(response)
