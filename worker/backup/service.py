"""
BackupService: blobs in R2 under the slots in D1.

Order of an upload: reserve, stream to a fresh key, commit, delete the old blob. Whatever breaks,
whenever: the slot names the old blob or the new one, and each is whole. What a crash leaves behind
in R2 is an orphan that `worker.backup.sweep` removes (docs/decisions/0012-backup.md).
"""

import asyncio

from d1_schema.contract import D1Error
from r2.contract import R2ObjectBody
from worker.backup.blob import SOON, Blob, exists, fetch, remove, store
from worker.backup.conditions import etag
from worker.backup.errors import BackupChanged, BackupInUse, BackupLost
from worker.backup.store import SLOT_PREFIX, Slot, SlotStore
from worker.env import Env
from worker.errors import NotFound
from worker.web import Request

# Each look finds another blob only when an upload was committed in between.
_LOOKS = 5


class BackupService:
    """Uploads, reads and deletes of one account's backup."""

    def __init__(self, env: Env, account_id: str) -> None:
        self._env = env
        self._account_id = account_id
        self._slots = SlotStore(env)

    async def upload(
        self, request: Request, length: int, expected: int | None, keeps: tuple[str, ...]
    ) -> Slot:
        """
        Replace the backup by the body of *request*, if *expected* is its version now.

        Raises `BackupChanged`, `BackupInUse`, `IncompleteBody`, `RequestTimeout`,
        `StorageUnavailable`; the backup is then as before. Only when D1 itself fails at the last
        step is it not known whether the new one counts (the version tells).
        """
        key = f"{SLOT_PREFIX}{self._account_id}/{self._env.tools.random_bytes(16).hex()}"
        slot = None
        try:
            held = await self._slots.reserve(self._account_id, key, expected)
            if held is not None:
                blob = Blob(request, length, self._env, lambda: self._alive(key, expected))
                await store(self._env, key, blob)
                slot = await self._slots.commit(held, length, blob.sha256, keeps)
        except BaseException:
            await self._give_up(key)
            raise
        # Of two blobs the one that does not count is in nobody's way.
        unused = None if held is None else key if slot is None else held.old_key
        if unused is not None:
            self._env.tools.wait_until(remove(self._env, unused))
        if slot is None:
            raise await self._refusal(expected)
        return slot

    async def current(self) -> Slot:
        """Return the slot that holds a backup; raises `NotFound` when there is none."""
        slot = await self._slots.slot(self._account_id)
        if slot is None or slot.object_key is None:
            raise NotFound("There is no backup.")
        return slot

    async def look(self, slot: Slot) -> Slot:
        """Return *slot*, or a later one, whose blob is there; raises as `read` does."""
        for _ in range(_LOOKS):
            if await exists(self._env, str(slot.object_key)):
                return slot
            slot = await self._later(slot)
        raise self._lost(slot)

    async def read(self, slot: Slot) -> tuple[Slot, R2ObjectBody]:
        """
        Return *slot*, or a later one, with its blob.

        Raises `BackupLost` when the slot names a blob that is not in the store; `NotFound` when the
        backup was deleted meanwhile; `StorageUnavailable`.
        """
        for _ in range(_LOOKS):
            found = await fetch(self._env, str(slot.object_key))
            if found is not None:
                return slot, found
            slot = await self._later(slot)
        raise self._lost(slot)

    async def delete(self, expected: int | None) -> None:
        """Empty the slot; with *expected*, only that version. Raises as `upload` does."""
        slot = await self.current()
        if expected is not None and expected != slot.version:
            raise await self._refusal(expected)
        if not await self._slots.delete(self._account_id, str(slot.object_key)):
            raise await self._refusal(slot.version)
        self._env.tools.wait_until(remove(self._env, str(slot.object_key)))

    async def _later(self, slot: Slot) -> Slot:
        """Return the slot as it is now; raises `BackupLost` when it still names the same blob."""
        later = await self.current()
        if later.object_key == slot.object_key:
            raise self._lost(slot)
        return later

    def _lost(self, slot: Slot) -> BackupLost:
        self._env.log.event("error", "backup_object_lost", version=slot.version)
        text = "The server has lost the backup. Store it again, with this ETag as If-Match."
        return BackupLost(text, headers={"ETag": etag(slot.version)})

    async def _alive(self, key: str, expected: int | None) -> None:
        """Tell that the upload goes on; raises when another has taken its place."""
        try:
            is_ours = await self._slots.touch(self._account_id, key)
        except D1Error as error:
            # Silence is forgiven for a while; `commit` has the last word.
            self._env.log.error("backup_touch_failed", error)
            return
        if not is_ours:
            raise await self._refusal(expected)

    async def _give_up(self, key: str) -> None:
        """End the reservation before the caller hears of its failure, and then tidy up."""
        work = asyncio.ensure_future(self._release(key))
        self._env.tools.wait_until(work)
        await asyncio.shield(work)

    async def _release(self, key: str) -> None:
        try:
            await self._slots.release(self._account_id, key)
            # It may have been committed, and only the answer lost: then it counts.
            counts = key in await self._slots.named([self._account_id])
        except Exception as error:
            self._env.log.error("backup_release_failed", error)
            return
        if not counts:
            self._env.tools.wait_until(remove(self._env, key))

    async def _refusal(self, expected: int | None) -> BackupChanged | BackupInUse:
        slot = await self._slots.slot(self._account_id)
        version = slot.version if slot is not None and slot.object_key is not None else None
        headers = {} if version is None else {"ETag": etag(version)}
        if version != expected:
            return BackupChanged("Fetch the backup, merge, and try again.", headers=headers)
        return BackupInUse("Another upload is under way.", headers={**headers, **SOON})
