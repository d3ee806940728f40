"""
Opens single stores of a state directory for the verbs that look and touch.

SQLite arbitrates between processes, so these verbs may run beside a host.
"""

import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from scripts.cli.outcome import CliError
from scripts.cli.place import Place

if TYPE_CHECKING:
    from d1_schema.contract import D1Database
    from kv.contract import KVNamespace
    from r2.contract import R2Bucket
    from worker.entry.config import D1Binding


@contextlib.asynccontextmanager
async def namespace(place: Place, binding: str) -> AsyncIterator["KVNamespace"]:
    """Yield the KV namespace *binding*; raises `CliError` for an unknown one."""
    if binding not in place.config.kv:
        raise _unknown("KV namespace", binding, place.config.kv)
    from kv.embedded import open_namespace

    folder = place.state / "kv"
    folder.mkdir(parents=True, exist_ok=True)
    opened = await open_namespace(folder / f"{binding}.sqlite", time.time)
    try:
        yield opened
    finally:
        await opened.close()


def database_row(place: Place, name: str) -> "D1Binding":
    """Return the configuration of the database with the binding or database name *name*."""
    for row in place.config.d1:
        if name in (row.binding, row.database_name):
            return row
    raise _unknown("D1 database", name, [row.binding for row in place.config.d1])


@contextlib.asynccontextmanager
async def database(place: Place, name: str) -> AsyncIterator["D1Database"]:
    """Yield the D1 database *name*; raises `CliError` for an unknown one."""
    row = database_row(place, name)
    from d1_schema.embedded import open_database

    folder = place.state / "d1"
    folder.mkdir(parents=True, exist_ok=True)
    opened = await open_database(folder / f"{row.database_name}.sqlite")
    try:
        yield opened
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def bucket(place: Place, name: str) -> AsyncIterator["R2Bucket"]:
    """Yield the R2 bucket with the binding or bucket name *name*."""
    buckets = place.config.r2
    bucket_name = buckets.get(name, name)
    if bucket_name not in buckets.values():
        raise _unknown("R2 bucket", name, buckets.values())
    from r2.embedded import open_bucket

    opened = await open_bucket(
        place.state / "r2" / bucket_name, clock=time.time, random_bytes=os.urandom
    )
    try:
        yield opened
    finally:
        await opened.close()


def _unknown(kind: str, name: str, known: Iterable[str]) -> CliError:
    names = ", ".join(known)
    return CliError(f"The configuration has no {kind} {name}; it has: {names or 'none'}.")
