"""The backups and attachments of an account, to be exported and erased (`worker.data_holders`)."""

from collections.abc import AsyncIterator
from typing import Any

from worker.backup.blob import chunks, fetch
from worker.backup.store import ATTACHMENT_PREFIX, SLOT_PREFIX, AttachmentStore, SlotStore
from worker.codec import iso_time
from worker.data_holders import Exported, Owned
from worker.env import Env


class BackupHolder:
    """The backup: what is known of it, and the encrypted blob."""

    owns = (Owned("table", "backups", "account_id"), Owned("r2", SLOT_PREFIX))

    async def export(self, env: Env, account_id: str) -> AsyncIterator[Exported]:
        """Yield version, size, digest and time of the backup, then the blob."""
        slot = await SlotStore(env).slot(account_id)
        if slot is None or slot.object_key is None:
            return
        known = {
            "path": "/v1/backup",
            "version": slot.version,
            "size": slot.size,
            "sha256": slot.sha256,
            "updated_at": iso_time(slot.updated_at / 1000),
        }
        yield Exported("backup", known)
        yield Exported("backup.bin", chunks(await fetch(env, slot.object_key)))

    async def erase(self, env: Env, account_id: str) -> None:
        """Remove the slot and every blob, also those that no slot names."""
        # First the slot: an upload under way can then no longer come to count.
        await SlotStore(env).forget(account_id)
        await _empty(env, SLOT_PREFIX, account_id)


class AttachmentHolder:
    """The attachments: what is known of them, and the files."""

    owns = (Owned("table", "attachments", "account_id"), Owned("r2", ATTACHMENT_PREFIX))

    async def export(self, env: Env, account_id: str) -> AsyncIterator[Exported]:
        """Yield size and times of each attachment, and the file."""
        async for row in AttachmentStore(env).of(account_id):
            yield Exported("attachments", _told(row))
            yield Exported(f"attachments/{row['id']}", chunks(await fetch(env, row["object_key"])))

    async def erase(self, env: Env, account_id: str) -> None:
        """Remove every attachment, also those that have lost their row."""
        await AttachmentStore(env).forget(account_id)
        await _empty(env, ATTACHMENT_PREFIX, account_id)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    ends = row["expires_at"]
    return {
        "path": f"/v1/attachments/{row['id']}",
        "size": row["size"],
        "created_at": iso_time(row["created_at"] / 1000),
        "expires_at": None if ends is None else iso_time(ends / 1000),
    }


async def _empty(env: Env, prefix: str, account_id: str) -> None:
    """Remove every object of the account below *prefix*, as long as new ones come."""
    while True:
        page = await env.blobs.list(prefix=f"{prefix}{account_id}/")
        if not page.objects:
            return
        await env.blobs.delete([item.key for item in page.objects])
