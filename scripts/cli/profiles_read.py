"""`edgekeep profiles get|list|count`: look at what the server has."""

import asyncio
import json
import sys
from argparse import ArgumentTypeError, Namespace
from typing import Any

from scripts.cli import profiles_move
from scripts.cli.outcome import OK, PARTLY, CliError, show_json
from scripts.cli.server import Target, add_server, read_json, refusal
from scripts.cli.verbs import Verbs

_PAGE = 1000


def add(verbs: Verbs) -> None:
    """Add the group `profiles`."""
    profiles = verbs.group("profiles", "read, list, count and move profiles")
    profiles_move.add(profiles)
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
    for parser in (listing, count):
        parser.add_argument("--json", action="store_true", help="for scripts")
    for parser in (get, listing, count):
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
    async def fetch() -> Any:
        async with (
            Target(options, "").session() as session,
            session.get("api/profiles/count") as response,
        ):
            return await read_json(response)

    counted = asyncio.run(fetch())
    if options.json:
        show_json(counted)
    else:
        print(counted["total"])
    return OK


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("expected a whole number of at least 1")
    return int(text)
