"""An account itself, its ways in and its sessions, to be exported and erased."""

from typing import Any

from worker.accounts import store
from worker.codec import iso_time
from worker.env import Env
from worker.identity import sessions


class AccountHolder:
    """The account (`worker.data_holders`); the last to be erased, because others refer to it."""

    async def export(self, env: Env, account_id: str) -> dict[str, Any] | None:
        """Return the account, its ways in as their owner sees them, and the sessions that hold."""
        row = await store.account(env, account_id)
        if row is None:
            return None
        disabled = row["disabled_at"]
        return {
            "id": row["id"],
            "role": row["role"],
            "created_at": iso_time(row["created_at"] / 1000),
            "last_active_at": iso_time(row["last_active_at"] / 1000),
            "disabled_at": None if disabled is None else iso_time(disabled / 1000),
            "identities": [way.shown(env) for way in await store.ways(env, account_id)],
            "sessions": [_told(each) for each in await sessions.living(env, account_id)],
        }

    async def erase(self, env: Env, account_id: str) -> None:
        """End the sessions and remove the account with its ways in."""
        await sessions.end_all(env, account_id)
        await store.erase(env, account_id)
        # A sign-in that was under way may have opened one more.
        await sessions.end_all(env, account_id)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    times = ("created_at", "last_used_at", "expires_at")
    return {
        "id": row["id"],
        "method": row["method"],
        "device_id": row["device_id"] or None,
        "label": row["label"] or None,
        **{name: iso_time(row[name] / 1000) for name in times},
    }
