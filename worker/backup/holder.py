"""The backups and attachments of an account, to be exported and erased (`worker.data_holders`)."""

from typing import Any

from worker.backup.store import ATTACHMENT_PREFIX, SLOT_PREFIX, AttachmentStore, SlotStore
from worker.codec import iso_time
from worker.env import Env


class BackupHolder:
    """The backup: what is known of it; the blob itself is at its door."""

    async def export(self, env: Env, account_id: str) -> dict[str, Any] | None:
        """Return version, size, digest and time of the backup, and where it is read."""
        slot = await SlotStore(env).slot(account_id)
        if slot is None or slot.object_key is None:
            return None
        return {
            "path": "/v1/backup",
            "version": slot.version,
            "size": slot.size,
            "sha256": slot.sha256,
            "updated_at": iso_time(slot.updated_at / 1000),
        }

    async def erase(self, env: Env, account_id: str) -> None:
        """Remove the slot and every blob, also those that no slot names."""
        # First the slot: an upload under way can then no longer come to count.
        await SlotStore(env).forget(account_id)
        await _empty(env, SLOT_PREFIX, account_id)


class AttachmentHolder:
    """The attachments: what is known of them; the files are at their doors."""

    async def export(self, env: Env, account_id: str) -> list[dict[str, Any]] | None:
        """Return size and times of each attachment, and where it is read."""
        return [_told(row) for row in await AttachmentStore(env).of(account_id)] or None

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
