"""`edgekeep profiles move`: all profiles from one store to the other, verified."""

import asyncio
import json
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from scripts.cli.outcome import OK, REFUSED, CliError
from scripts.cli.place import Place, add_place
from scripts.cli.progress import Progress
from scripts.cli.verbs import Verbs

if TYPE_CHECKING:
    from worker.profiles.store.profiles import ProfileStore, Row

_BATCH = 500
_STORES = ("kv", "d1")

_ABOUT = """\
Copy all profiles from one store to the other, compare both, then tell how to switch.

Works on the state directory while no server runs on it, so that nothing is
imported behind its back. It may be stopped and run again at any time. Where
both stores hold a profile, the store that PROFILE_STORE names wins."""


def add(profiles: Verbs) -> None:
    """Add `move`."""
    parser = profiles.add(
        "move",
        _move,
        _ABOUT,
        [
            "edgekeep profiles move --from kv --to d1",
            "edgekeep profiles move --from kv --to d1 --delete-source",
        ],
    )
    parser.add_argument("--from", dest="source", choices=_STORES, required=True)
    parser.add_argument("--to", dest="target", choices=_STORES, required=True)
    parser.add_argument(
        "--delete-source", action="store_true", help="empty the old store after the comparison"
    )
    add_place(parser)


def _move(options: Namespace) -> int:
    if options.source == options.target:
        raise CliError("--from and --to name the same store.")
    place = Place.of(options)
    with place.alone("move profiles"):
        asyncio.run(_run(place, options.source, options.target, options.delete_source))
    if place.settings.profile_store != options.target:
        print(
            f"To switch, set PROFILE_STORE = {json.dumps(options.target)} below [vars] in "
            f"{place.config.path} and start the server again."
        )
    return OK


async def _run(place: Place, source: str, target: str, delete: bool) -> None:
    from worker.entry.open_env import open_env
    from worker.profiles.store.profiles import open_store

    opened = await open_env(place.config, place.state, place.variables, _to_stderr)
    try:
        env = opened.env
        old, new = open_store(env, source), open_store(env, target)
        keep = env.settings.profile_store == target
        copied, kept, homeless = await _copy(old, new, f"move-{source}-{target}", keep)
        if homeless:
            raise CliError(
                f"{copied:,} profiles copied, but {target} cannot hold an id of "
                f"{len(homeless[0]):,} characters: {homeless[0][:40]}… "
                f"({len(homeless):,} such). They stay in {source}; nothing was deleted.",
                REFUSED,
            )
        checked = await _compare(old, new, keep)
        print(f"{copied:,} profiles copied from {source} to {target}, {kept:,} were there.")
        print(f"Compared: all {checked:,} are in {target}.")
        if delete:
            print(f"{await _empty(old):,} profiles deleted from {source}.")
    finally:
        await opened.close()


async def _copy(
    old: "ProfileStore", new: "ProfileStore", import_id: str, keep: bool
) -> tuple[int, int, list[str]]:
    """
    Copy what differs; with *keep*, what *new* has stays.

    Returns (copied, left alone, ids that *new* cannot hold).
    """
    copied = kept = size = 0
    homeless: list[str] = []
    with Progress("profiles", None, verb="moving") as progress:
        async for found in _batches(old):
            homeless += [row.profile_id for row in found if not new.takes(row.profile_id)]
            rows = [row for row in found if new.takes(row.profile_id)]
            there = await asyncio.gather(*(new.get(row.profile_id) for row in rows))
            fresh = [
                row
                for row, has in zip(rows, there, strict=True)
                if has is None or not (keep or _same(has, row.document))
            ]
            await new.put_many(fresh, import_id, int(time.time() * 1000))
            copied += len(fresh)
            kept += len(rows) - len(fresh)
            size += sum(len(row.document) for row in rows)
            progress.sent(size)
    return copied, kept, homeless


async def _compare(old: "ProfileStore", new: "ProfileStore", keep: bool) -> int:
    """
    Return the number of profiles of *old*, each found in *new*; raises `CliError`.

    Both are read side by side: either store yields in the order of ids.
    """
    checked = 0
    others = aiter(new.documents())
    other = await anext(others, None)
    async for row in old.documents():
        while other is not None and other.profile_id < row.profile_id:
            other = await anext(others, None)
        has = other.document if other and other.profile_id == row.profile_id else None
        if has is None or not (keep or _same(has, row.document)):
            raise CliError(
                f"{row.profile_id} did not arrive as it was; nothing was deleted. "
                "Run the move again.",
                REFUSED,
            )
        checked += 1
    return checked


def _same(one: str, other: str) -> bool:
    """Whether two texts are one document: D1 writes JSON without the spaces it came with."""
    return one == other or bool(json.loads(one) == json.loads(other))


async def _empty(old: "ProfileStore") -> int:
    """Delete every profile of *old*; returns how many."""
    deleted = 0
    nothing: list[Row] = []
    while rows := await anext(aiter(_batches(old)), nothing):
        await old.delete_many([row.profile_id for row in rows])
        deleted += len(rows)
    return deleted


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)


async def _batches(store: "ProfileStore") -> "AsyncIterator[Sequence[Row]]":
    rows: list[Row] = []
    async for row in store.documents():
        rows.append(row)
        if len(rows) == _BATCH:
            yield rows
            rows = []
    if rows:
        yield rows
