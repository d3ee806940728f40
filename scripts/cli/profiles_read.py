"""`edgekeep profiles get|list|count` and `edgekeep report`: look at what the server has."""

import asyncio
import json
import sys
from argparse import ArgumentTypeError, Namespace
from typing import Any

from scripts.cli.outcome import OK, PARTLY, CliError, show_json, table
from scripts.cli.profiles_import import error_rows
from scripts.cli.server import Target, add_server, read_json, refusal
from scripts.cli.verbs import Verbs

_PAGE = 1000


def add(profiles: Verbs, verbs: Verbs) -> None:
    """Add `get`, `list`, `count` to *profiles* and `report` to *verbs*."""
    get = profiles.add(
        "get",
        _get,
        "Print one profile as it was imported.",
        ["edgekeep profiles get usr_demo00000001", "edgekeep profiles get usr_demo00000001 | jq ."],
    )
    get.add_argument("id", metavar="ID")
    listing = profiles.add(
        "list",
        _list,
        "Print ids in order, one a line.",
        ["edgekeep profiles list --limit 20", "edgekeep profiles list --all > ids.txt"],
    )
    amount = listing.add_mutually_exclusive_group()
    amount.add_argument("--limit", type=_limit, default=100, help="how many (default: 100)")
    amount.add_argument("--all", action="store_true", help="every one")
    count = profiles.add(
        "count",
        _count,
        "Print the number of profiles.",
        ["edgekeep profiles count", "edgekeep profiles count --json"],
    )
    report = verbs.add(
        "report",
        _report,
        "Print the report of an import: what was stored, and each line that was refused.",
        ["edgekeep report imp_20261121080000_a1b2c3d4", "edgekeep report imp_… --json"],
    )
    report.add_argument("id", metavar="ID", help="the import id")
    for parser in (listing, count, report):
        parser.add_argument("--json", action="store_true", help="for scripts")
    for parser in (get, listing, count, report):
        add_server(parser)


def _get(options: Namespace) -> int:
    async def fetch() -> bytes:
        async with (
            Target(options, "profiles:read").session() as session,
            session.get("api/profiles/item", params={"id": options.id}) as response,
        ):
            if response.status == 404:
                raise CliError(f"There is no profile {options.id}.", PARTLY)
            if response.status != 200:
                raise await refusal(response)
            return await response.read()

    document = asyncio.run(fetch())
    if sys.stdout.isatty():
        show_json(json.loads(document))
    else:
        sys.stdout.buffer.write(document + b"\n")
    return OK


def _list(options: Namespace) -> int:
    ids, cursor = asyncio.run(_collect(options))
    if options.json:
        show_json({"items": [{"id": each} for each in ids], "next_cursor": cursor})
    return OK


async def _collect(options: Namespace) -> tuple[list[str], str | None]:
    """Go through the pages, printing each at once; keep the ids only for --json."""
    kept: list[str] = []
    wanted: int | None = None if options.all else options.limit
    cursor: str | None = None
    async with Target(options, "").session() as session:
        while wanted is None or wanted > 0:
            query = {"limit": str(min(wanted or _PAGE, _PAGE))}
            if cursor is not None:
                query["cursor"] = cursor
            async with session.get("api/profiles", params=query) as response:
                page = await read_json(response)
            ids = [item["id"] for item in page["items"]]
            if options.json:
                kept += ids
            elif ids:
                print("\n".join(ids))
            cursor = page["next_cursor"]
            if cursor is None:
                break
            if wanted is not None:
                wanted -= len(ids)
    return kept, cursor


def _count(options: Namespace) -> int:
    counted = asyncio.run(_fetch(options, "", "api/profiles/count", {}))
    if options.json:
        show_json(counted)
    else:
        print(counted["total"])
    return OK


def _report(options: Namespace) -> int:
    query = {"id": options.id}
    report = asyncio.run(_fetch(options, "profiles:import", "api/profiles/import/report", query))
    if options.json:
        show_json(report)
        return OK
    failure = f" ({report['failure']})" if report.get("failure") else ""
    print(f"{report['import_id']}: {report['state']}{failure}, {report['mode']} mode")
    print(f"started {report['started_at']}, last change {report['updated_at']}")
    print(
        f"{report['lines_total']:,} lines: {report['profiles_stored']:,} profiles stored, "
        f"{report['lines_invalid']:,} lines refused"
    )
    if report["errors"]:
        print("\n" + table(error_rows(report["errors"]), ("line", "path", "message")))
    if report["errors_truncated"]:
        print(f"… of {report['errors_total']:,} errors; the rest was not kept.")
    return OK


async def _fetch(options: Namespace, scope: str, path: str, query: dict[str, str]) -> Any:
    async with (
        Target(options, scope).session() as session,
        session.get(path, params=query) as response,
    ):
        if response.status == 404:
            raise CliError("There is no such report; reports are kept for a limited time.", PARTLY)
        return await read_json(response)


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("expected a whole number of at least 1")
    return int(text)
