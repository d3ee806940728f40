"""`edgekeep r2 object …`: look into and touch R2 buckets, named as in wrangler."""

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

from scripts.cli.outcome import OK, PARTLY, CliError, show_json, table, tell
from scripts.cli.place import Place, add_place
from scripts.cli.replace_file import replacing_bytes
from scripts.cli.stores import bucket
from scripts.cli.verbs import Verbs

_BLOCK = 1 << 18


def add(verbs: Verbs) -> None:
    """Add the group `r2`."""
    objects = verbs.group("r2", "look into and touch R2 buckets").group(
        "object", "list, read, write and delete objects"
    )
    get = objects.add(
        "get",
        _get,
        "Write an object to a file, or to stdout.",
        [
            "edgekeep r2 object get edgekeep-blobs/a/b.png --file b.png",
            "edgekeep r2 object get BLOBS/notes.txt",
        ],
    )
    get.add_argument("--file", type=Path, metavar="FILE", help="default: stdout")
    put = objects.add(
        "put",
        _put,
        "Store a file as an object.",
        [
            "edgekeep r2 object put BLOBS/a/b.png --file b.png --content-type image/png",
            "edgekeep r2 object put BLOBS/notes.txt --file notes.txt",
        ],
    )
    put.add_argument("--file", type=Path, metavar="FILE", required=True)
    put.add_argument("--content-type", metavar="TYPE")
    delete = objects.add(
        "delete",
        _delete,
        "Delete an object. One that is not there is no error, as at Cloudflare.",
        [
            "edgekeep r2 object delete BLOBS/a/b.png",
            "edgekeep r2 object delete BLOBS/x --state /tmp/trial",
        ],
    )
    for parser in (get, put, delete):
        parser.add_argument("path", metavar="BUCKET/KEY")
        add_place(parser)
    listing = objects.add(
        "list",
        _list,
        "Print the objects of a bucket in the order of their keys.",
        ["edgekeep r2 object list BLOBS", "edgekeep r2 object list BLOBS --prefix a/ --json"],
    )
    listing.add_argument("bucket", metavar="BUCKET", help="bucket_name or binding")
    listing.add_argument("--prefix", default="", help="only keys that begin so")
    listing.add_argument("--json", action="store_true", help="for scripts")
    add_place(listing)


def _get(options: Namespace) -> int:
    from r2.objects import R2ObjectBody

    name, key = _path(options.path)

    async def run(file: BinaryIO) -> None:
        async with bucket(Place.of(options), name) as r2:
            found = await r2.get(key)
            if found is None:
                raise CliError(f"{name} has no object {key}.", PARTLY)
            # Without a condition the body always comes along.
            assert isinstance(found, R2ObjectBody)
            async for block in found.body:
                file.write(block)

    if options.file is None:
        asyncio.run(run(sys.stdout.buffer))
        return OK
    with replacing_bytes(options.file) as file:
        asyncio.run(run(file))
    tell(f"{key} written to {options.file}.")
    return OK


def _put(options: Namespace) -> int:
    name, key = _path(options.path)
    metadata = {"contentType": options.content_type} if options.content_type else None

    async def run() -> None:
        with options.file.open("rb") as file:
            async with bucket(Place.of(options), name) as r2:
                await r2.put(key, _FileBody(file), http_metadata=metadata)

    asyncio.run(run())
    tell(f"{key} stored in {name}.")
    return OK


class _FileBody:
    """A file as R2 takes a stream: its length is known."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.length = os.fstat(file.fileno()).st_size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while block := self._file.read(_BLOCK):
            yield block


def _delete(options: Namespace) -> int:
    name, key = _path(options.path)

    async def run() -> None:
        async with bucket(Place.of(options), name) as r2:
            await r2.delete(key)

    asyncio.run(run())
    tell(f"{key} deleted from {name}.")
    return OK


def _list(options: Namespace) -> int:
    async def run() -> list[Any]:
        found: list[Any] = []
        cursor = None
        async with bucket(Place.of(options), options.bucket) as r2:
            while True:
                page = await r2.list(prefix=options.prefix, cursor=cursor)
                found += page.objects
                cursor = page.cursor
                if not page.truncated:
                    return found

    found = asyncio.run(run())
    if options.json:
        show_json(
            [
                {
                    "key": each.key,
                    "size": each.size,
                    "etag": each.etag,
                    "uploaded": str(each.uploaded),
                }
                for each in found
            ]
        )
    else:
        rows = [
            (each.key, f"{each.size:,}", f"{each.uploaded:%Y-%m-%d %H:%M:%S}") for each in found
        ]
        print(table(rows, ("key", "bytes", "uploaded (UTC)")))
    return OK


def _path(text: str) -> tuple[str, str]:
    name, slash, key = text.partition("/")
    if not slash or not name or not key:
        raise CliError(f"{text} must be BUCKET/KEY, e.g. edgekeep-blobs/a/b.png.")
    return name, key
