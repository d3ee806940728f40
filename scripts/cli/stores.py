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
    from worker.entry.stores import Stores


@contextlib.asynccontextmanager
async def namespace(place: Place, binding: str) -> AsyncIterator["KVNamespace"]:
    """Yield the KV namespace *binding*; raises `CliError` for an unknown one."""
    if binding not in place.config.kv:
        raise _unknown("KV namespace", binding, place.config.kv)
    opened = await _stores(place).namespace(binding)
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
    opened = await _stores(place).database(database_row(place, name).binding)
    try:
        yield opened
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def bucket(place: Place, name: str) -> AsyncIterator["R2Bucket"]:
    """Yield the R2 bucket with the binding or bucket name *name*."""
    binding = next((b for b, bucket in place.config.r2.items() if name in (b, bucket)), None)
    if binding is None:
        raise _unknown("R2 bucket", name, place.config.r2.values())
    opened = await _stores(place).bucket(binding)
    try:
        yield opened
    finally:
        await opened.close()


def _stores(place: Place) -> "Stores":
    from worker.entry.state_folder import make_private
    from worker.entry.stores import Stores

    make_private(place.state)
    return Stores(place.config, place.state, place.variables, time.time, os.urandom)


def _unknown(kind: str, name: str, known: Iterable[str]) -> CliError:
    names = ", ".join(known)
    return CliError(f"The configuration has no {kind} {name}; it has: {names or 'none'}.")
