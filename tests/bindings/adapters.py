"""
The adapters of KV and D1 that the suites run on.

A further adapter is one more row: a name, and how to open an empty store with a
clock. Every suite takes its fixture `kv` or `d1` and so runs on each of them.
"""

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

from d1_schema.contract import D1Database
from d1_schema.embedded import open_database
from kv.contract import KVNamespace
from kv.embedded import open_namespace
from kv.redis import open_namespace as open_redis
from tests.support.redis_server import shared_server

START = 1_795_216_699
"""The second at which the golden answers were measured."""

_NUMBERS = itertools.count()


class Clock:
    """Seconds since the epoch, as a test sets them."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


async def _embedded_kv(folder: Path, clock: Clock) -> KVNamespace:
    return await open_namespace(folder / "kv.sqlite", clock)


async def _redis_kv(folder: Path, clock: Clock) -> KVNamespace:
    # One server for the whole session; a prefix of its own makes the namespace an empty one.
    prefix = f"test-{next(_NUMBERS)}"
    return await open_redis(f"{shared_server().url}?prefix={prefix}", "TEST_KV", clock)


async def _embedded_d1(folder: Path) -> D1Database:
    return await open_database(folder / "d1.sqlite")


KV_ADAPTERS: dict[str, Callable[[Path, Clock], Awaitable[KVNamespace]]] = {
    "embedded": _embedded_kv,
    "redis": _redis_kv,
}
D1_ADAPTERS: dict[str, Callable[[Path], Awaitable[D1Database]]] = {
    "embedded": _embedded_d1,
}
