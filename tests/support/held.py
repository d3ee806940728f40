"""What holders of data tell of an account, and what the stores hold that no holder owns."""

from collections.abc import AsyncIterator
from typing import Any

from kv.contract import KVNamespace
from tests.support.running_host import RunningHost
from worker.data_holders import DataHolder, Place
from worker.env import BINDINGS, Env


async def held(env: Env, holder: DataHolder, account_id: str) -> dict[str, list[Any]]:
    """Return what *holder* exports, by name; bytes are joined."""
    found: dict[str, list[Any]] = {}
    async for name, value in holder.export(env, account_id):
        if hasattr(value, "__aiter__"):
            value = b"".join([chunk async for chunk in value])
        found.setdefault(name, []).append(value)
    return found


def owned(env: Env, place: Place) -> list[str]:
    """Return the names that holders own in *place*; some more than once."""
    return [
        row.name for holder in env.holders.values() for row in holder.owns if row.place == place
    ]


async def keys(env: Env) -> AsyncIterator[tuple[Place, str]]:
    """Yield every key in KV ("BINDING/key") and R2."""
    for name, kind in BINDINGS.items():
        if kind is KVNamespace:
            cursor = None
            while True:
                page = await getattr(env, name.lower()).list(cursor=cursor)
                for key in page.keys:
                    yield "kv", f"{name}/{key.name}"
                if (cursor := page.cursor) is None:
                    break
    cursor = None
    while True:
        found = await env.blobs.list(cursor=cursor)
        for item in found.objects:
            yield "r2", item.key
        if not found.truncated:
            return
        cursor = found.cursor


async def check_keys(host: RunningHost) -> None:
    """Fail when there is a key whose prefix no holder owns."""
    env = host.env
    async for place, key in keys(env):
        assert key.startswith(tuple(owned(env, place))), f"no holder owns {place} {key}"
