"""What waits in an account's inbox, to be exported and erased (`worker.data_holders`)."""

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

from worker.codec import iso_time
from worker.data_holders import Exported, Owned
from worker.env import Env


class InboxHolder:
    """The messages that others sent to the account and that it has not read."""

    owns = (
        Owned("actor", "Inbox"),
        Owned(
            "actor",
            "Inbox",
            "",
            "pseudonymised",
            "What it sent waits for others, who may read it: under an id that no name belongs to.",
        ),
    )

    async def export(self, env: Env, account_id: str) -> AsyncIterator[Exported]:
        """Yield every message that waits, the ciphertext as base64."""
        inbox = env.inbox.get_by_name(account_id)
        place = 0
        while page := await inbox.call("export", place):
            for one in page:
                yield Exported("messages", _told(one))
            place = page[-1]["place"]

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
