"""`edgekeep export`: every profile as NDJSON, into a file that appears whole or not at all."""

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from typing import BinaryIO

from scripts.cli.outcome import OK, tell
from scripts.cli.progress import Progress
from scripts.cli.replace_file import replacing_bytes
from scripts.cli.server import Target, add_server, refusal
from scripts.cli.verbs import Verbs

_BLOCK = 1 << 18


def add(verbs: Verbs) -> None:
    """Add `export`."""
    parser = verbs.add(
        "export",
        _export,
        "Export every profile as NDJSON, in order of its id. Importing the file again changes\n"
        "nothing. An existing FILE is replaced only when the export is complete.",
        ["edgekeep export backup.ndjson", "edgekeep export - | gzip > backup.ndjson.gz"],
    )
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: - (stdout)")
    add_server(parser)


def _export(options: Namespace) -> int:
    target = Target(options, "profiles:export")
    if options.file == "-":
        asyncio.run(_copy(target, sys.stdout.buffer, "stdout"))
        return OK
    path = Path(options.file)
    with replacing_bytes(path) as file:
        lines = asyncio.run(_copy(target, file, path.name))
    tell(f"{lines:,} profiles written to {path}")
    return OK


async def _copy(target: Target, file: BinaryIO, name: str) -> int:
    """Write the export to *file* and return the number of lines."""
    lines = size = 0
    async with (
        target.session() as session,
        session.get("api/profiles/export", headers={"Accept-Encoding": "gzip"}) as response,
    ):
        if response.status != 200:
            raise await refusal(response)
        with Progress(name, None, verb="exporting") as progress:
            async for block in response.content.iter_chunked(_BLOCK):
                file.write(block)
                lines += block.count(b"\n")
                size += len(block)
                progress.sent(size)
    file.flush()
    return lines
