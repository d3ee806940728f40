"""An account itself, its ways in and its sessions, to be exported and erased."""

from collections.abc import AsyncIterator
from typing import Any

from worker.accounts import store
from worker.codec import iso_time
from worker.data_holders import Exported, Nobodys, Owned
from worker.env import Env
from worker.identity import sessions


class SignInHolder(Nobodys):
    """The way in (`worker.data_holders`); the first to be erased, so that nothing new comes."""

    def __init__(self) -> None:
        super().__init__(
            Owned(
                "table",
                "sessions",
                "account_id",
                "pseudonymised",
                "For a day, other hosts learn from the id that its tokens hold no more.",
            ),
            Owned("table", "spent_tokens", "", "kept", "Random ids that lead to nobody; minutes."),
            Owned("table", "counters", "", "kept", "Keyed digests that lead to nobody; to a year."),
        )

    async def erase(self, env: Env, account_id: str) -> None:
        """Close the account and let its sessions end, and say nothing more."""
        await store.disable(env, account_id)
        await sessions.forget(env, account_id)


class AccountHolder:
    """The account (`worker.data_holders`); the last to be erased, because others refer to it."""

    owns = (Owned("table", "accounts", "id"), Owned("table", "identities", "account_id"))

    async def export(self, env: Env, account_id: str) -> AsyncIterator[Exported]:
        """Yield the account, its ways in as their owner sees them, and the sessions that hold."""
        row = await store.account(env, account_id)
        if row is None:
            return
        disabled = row["disabled_at"]
        account = {
            "id": row["id"],
            "role": row["role"],
            "created_at": iso_time(row["created_at"] / 1000),
            "last_active_at": iso_time(row["last_active_at"] / 1000),
            "disabled_at": None if disabled is None else iso_time(disabled / 1000),
            "identities": [way.shown(env) for way in await store.ways(env, account_id)],
            "sessions": [_told(each) for each in await sessions.living(env, account_id)],
        }
        yield Exported("account", account)

    async def erase(self, env: Env, account_id: str) -> None:
        """End the sessions and remove the account with its ways in."""
        await sessions.end_all(env, account_id)
        await store.erase(env, account_id)
        # A sign-in that was under way may have opened one more.
        await sessions.end_all(env, account_id)
        await sessions.forget(env, account_id)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    times = ("created_at", "last_used_at", "expires_at")
    return {
        "id": row["id"],
        "method": row["method"],
        "device_id": row["device_id"] or None,
        "label": row["label"] or None,
        **{name: iso_time(row[name] / 1000) for name in times},
    }
