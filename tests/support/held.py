"""What a holder of data tells of an account, read to its end."""

from typing import Any

from worker.data_holders import DataHolder
from worker.env import Env


async def held(env: Env, holder: DataHolder, account_id: str) -> dict[str, list[Any]]:
    """Return what *holder* exports, by name; bytes are joined."""
    found: dict[str, list[Any]] = {}
    async for name, value in holder.export(env, account_id):
        if hasattr(value, "__aiter__"):
            value = b"".join([chunk async for chunk in value])
        found.setdefault(name, []).append(value)
    return found
