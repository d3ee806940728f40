"""`edgekeep kv …`: look into and touch the KV namespaces, named as in wrangler."""

import asyncio
import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from scripts.cli.outcome import OK, PARTLY, CliError, show_json, tell
from scripts.cli.place import Place, add_place
from scripts.cli.stores import namespace
from scripts.cli.verbs import Verbs


def add(verbs: Verbs) -> None:
    """Add the group `kv`."""
    group = verbs.group("kv", "look into and touch KV namespaces")
    namespaces = group.group("namespace", "tell about namespaces").add(
        "list",
        _namespaces,
        "Print the namespaces of the configuration.",
        ["edgekeep kv namespace list", "edgekeep kv namespace list --json"],
    )
    namespaces.add_argument("--json", action="store_true", help="for scripts")
    add_place(namespaces)
    keys = group.group("key", "list, read, write and delete keys")
    listing = keys.add(
        "list",
        _list,
        "Print the keys in byte order, one a line.",
        [
            "edgekeep kv key list --binding PROFILES_KV --prefix profile:",
            "edgekeep kv key list --binding IMPORT_REPORT_KV --json",
        ],
    )
    listing.add_argument("--prefix", default="", help="only keys that begin so")
    listing.add_argument("--json", action="store_true", help="with expiration and metadata")
    get = keys.add(
        "get",
        _get,
        "Write the value of a key to stdout, byte for byte.",
        [
            "edgekeep kv key get profile:usr_demo00000001 --binding PROFILES_KV",
            "edgekeep kv key get picture --binding PROFILES_KV > picture.png",
        ],
    )
    put = _add_put(keys)
    delete = keys.add(
        "delete",
        _delete,
        "Delete a key. A key that is not there is no error, as at Cloudflare.",
        [
            "edgekeep kv key delete greeting --binding PROFILES_KV",
            "edgekeep kv key delete greeting --binding PROFILES_KV --state /tmp/trial",
        ],
    )
    for parser in (get, put, delete):
        parser.add_argument("key", metavar="KEY")
    put.add_argument("value", metavar="VALUE", nargs="?", help="or --path")
    for parser in (listing, get, put, delete):
        parser.add_argument("--binding", required=True, help="e.g. PROFILES_KV")
        add_place(parser)


def _add_put(keys: Verbs) -> ArgumentParser:
    put = keys.add(
        "put",
        _put,
        "Write a value under a key.",
        [
            "edgekeep kv key put greeting hello --binding PROFILES_KV --ttl 3600",
            "edgekeep kv key put picture --path picture.png --binding PROFILES_KV",
        ],
    )
    put.add_argument("--path", type=Path, metavar="FILE", help="take the value from a file")
    put.add_argument("--ttl", type=int, metavar="SECONDS", help="when it ends (at least 60)")
    put.add_argument("--metadata", type=_json, metavar="JSON", help="kept beside the value")
    return put


def _namespaces(options: Namespace) -> int:
    found = Place.of(options).config.kv
    if options.json:
        show_json([{"binding": binding, "id": name} for binding, name in found.items()])
    else:
        for binding, name in found.items():
            print(f"{binding}  (id {name})")
    return OK


def _list(options: Namespace) -> int:
    async def run() -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = []
        async with namespace(Place.of(options), options.binding) as kv:
            cursor = None
            while True:
                page = await kv.list(prefix=options.prefix, cursor=cursor)
                for key in page.keys:
                    if options.json:
                        kept.append(_described(key))
                    else:
                        print(key.name)
                cursor = page.cursor
                if page.list_complete:
                    return kept

    kept = asyncio.run(run())
    if options.json:
        show_json(kept)
    return OK


def _described(key: Any) -> dict[str, Any]:
    """Return *key* as wrangler prints it: absent members are left out."""
    shown = {"name": key.name, "expiration": key.expiration, "metadata": key.metadata}
    return {name: value for name, value in shown.items() if value is not None}


def _get(options: Namespace) -> int:
    async def run() -> bytes | None:
        async with namespace(Place.of(options), options.binding) as kv:
            value: bytes | None = await kv.get(options.key, "bytes")
            return value

    value = asyncio.run(run())
    if value is None:
        raise CliError(f"{options.binding} has no key {options.key}.", PARTLY)
    sys.stdout.buffer.write(value)
    if sys.stdout.isatty():
        print()
    return OK


def _put(options: Namespace) -> int:
    if (options.value is None) == (options.path is None):
        raise CliError("Give either VALUE or --path FILE.")
    value = options.value if options.path is None else options.path.read_bytes()

    async def run() -> None:
        async with namespace(Place.of(options), options.binding) as kv:
            await kv.put(options.key, value, expiration_ttl=options.ttl, metadata=options.metadata)

    _refusable(run)
    tell(f"{options.key} written to {options.binding}.")
    return OK


def _delete(options: Namespace) -> int:
    async def run() -> None:
        async with namespace(Place.of(options), options.binding) as kv:
            await kv.delete(options.key)

    _refusable(run)
    tell(f"{options.key} deleted from {options.binding}.")
    return OK


def _refusable(run: Any) -> None:
    """Run it; what the contract refuses (a limit, a bad key) is the user's to mend."""
    from kv.contract import KVError

    try:
        asyncio.run(run())
    except (KVError, TypeError) as error:
        raise CliError(str(error)) from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ArgumentTypeError("metadata must be JSON") from None
