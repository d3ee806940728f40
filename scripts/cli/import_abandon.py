"""`edgekeep abandon`: give up an import that is stuck."""

import asyncio
from argparse import Namespace
from typing import Any

from scripts.cli.import_report import tell
from scripts.cli.outcome import OK, PARTLY, CliError
from scripts.cli.server import Target, add_server, read_json
from scripts.cli.verbs import Verbs

_ABOUT = """\
Give up an import that runs, or whose commit waits for its store.

What is stored stays, nothing more comes, and its Idempotency-Key is free again.
An import that has ended stays as it is. `edgekeep report ID` only looks."""


def add(verbs: Verbs) -> None:
    """Add `abandon`."""
    examples = [
        "edgekeep abandon imp_20261121080000_a1b2c3",
        "edgekeep abandon imp_20261121080000_a1b2c3 --json",
    ]
    parser = verbs.add("abandon", _abandon, _ABOUT, examples)
    parser.add_argument("id", metavar="ID", help="the import id")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_server(parser)


def _abandon(options: Namespace) -> int:
    tell(options, asyncio.run(_ask(options)))
    return OK


async def _ask(options: Namespace) -> Any:
    target = Target(options, "profiles:import profiles:audit")
    async with (
        target.session() as session,
        session.post("api/profiles/import/abandon", params={"id": options.id}) as response,
    ):
        if response.status == 404:
            raise CliError("There is no such import.", PARTLY)
        return await read_json(response)
