"""What waits in an account's inbox, to be exported and erased (`worker.data_holders`)."""

from base64 import b64encode
from typing import Any

from worker.codec import iso_time
from worker.env import Env


class InboxHolder:
    """The messages that others sent to the account and that it has not read."""

    async def export(self, env: Env, account_id: str) -> dict[str, Any] | None:
        """Return every message that waits, the ciphertext as base64; None when nothing does."""
        inbox = env.inbox.get_by_name(account_id)
        found: list[dict[str, Any]] = []
        while page := await inbox.call("export", found[-1]["place"] if found else 0):
            found += page
        return {"messages": list(map(_told, found))} if found else None

    async def erase(self, env: Env, account_id: str) -> None:
        """Remove everything and close the account's sockets."""
        await env.inbox.get_by_name(account_id).call("erase")


def _told(one: dict[str, Any]) -> dict[str, Any]:
    sender = {"sender": one.get("sender", one.get("user"))}
    sender["sender_name"] = one.get("sender_name", one.get("username"))
    at = iso_time(one["at_ms"] / 1000)
    told = {"id": b64encode(one["id"]).decode(), **sender, "at": at}
    if "ciphertext" in one:
        return {"kind": "message", **told, "ciphertext": b64encode(one["ciphertext"]).decode()}
    return {"kind": "identity_changed", **told}
