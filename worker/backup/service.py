"""
BackupService: blobs in R2 under the slots in D1.

Order of an upload: reserve, stream to a fresh key, commit, delete the old blob. Whatever breaks,
whenever: the slot names the old blob or the new one, and each is whole. What a crash leaves behind
in R2 is an orphan that `worker.backup.sweep` removes.
"""

import asyncio

from r2.contract import FixedLengthStream, R2Error, R2ObjectBody
from worker.backup.blob import Blob
from worker.backup.precondition import etag
from worker.backup.repository import BackupRepository, Slot
from worker.env import Env
from worker.errors import BackupChanged, BackupInUse, NotFound, RequestTimeout, StorageUnavailable
from worker.limits import UPLOAD_BYTES_PER_SECOND, UPLOAD_SECONDS
from worker.web import Request

PREFIX = "backups/"
_SOON = {"Retry-After": "2"}


class BackupService:
    """Uploads, reads and deletes of one account's backup."""

    def __init__(self, env: Env, account_id: str) -> None:
        self._env = env
        self._account_id = account_id
        self._repository = BackupRepository(env)

    async def upload(
        self, request: Request, length: int, expected: int | None, keeps: tuple[str, ...]
    ) -> Slot:
        """
        Replace the backup by the body of *request*, if *expected* is its version now.

        Raises `BackupChanged`, `BackupInUse`, `IncompleteBody`, `RequestTimeout`,
        `StorageUnavailable`; the backup is then as before.
        """
        key = f"{PREFIX}{self._account_id}/{self._env.tools.random_bytes(16).hex()}"
        held = await self._repository.reserve(self._account_id, key, expected)
        if held is None:
            raise await self._refusal(expected)
        blob = Blob(request, length, self._env, lambda: self._repository.touch(key))
        try:
            await self._store(key, blob)
            slot = await self._repository.commit(held, length, blob.sha256, keeps)
        except BaseException:
            self._env.tools.wait_until(self._give_up(key))
            raise
        if slot is None:
            self._env.tools.wait_until(self._remove(key))
            raise await self._refusal(expected)
        if held.old_key is not None:
            self._env.tools.wait_until(self._remove(held.old_key))
        return slot

    async def current(self) -> Slot:
        """Return the slot that holds a backup; raises `NotFound` when there is none."""
        slot = await self._repository.slot(self._account_id)
        if slot is None or slot.object_key is None:
            raise NotFound("There is no backup.")
        return slot

    async def read(self) -> tuple[Slot, R2ObjectBody]:
        """Return the backup with its body; raises `NotFound`."""
        slot = await self.current()
        for _ in range(3):
            found = await self._env.blobs.get(str(slot.object_key))
            if isinstance(found, R2ObjectBody):
                return slot, found
            # An upload may have replaced it between the two looks.
            earlier, slot = slot, await self.current()
            if earlier.object_key == slot.object_key:
                break
        self._env.log.event("error", "backup_object_lost", version=slot.version)
        raise NotFound("The backup is lost: its object is not in the store.")

    async def delete(self, expected: int | None) -> None:
        """Empty the slot; with *expected*, only that version. Raises as `upload` does."""
        slot = await self.current()
        if expected is not None and expected != slot.version:
            raise await self._refusal(expected)
        if not await self._repository.delete(self._account_id, str(slot.object_key)):
            raise await self._refusal(expected)
        self._env.tools.wait_until(self._remove(str(slot.object_key)))

    async def _store(self, key: str, blob: Blob) -> None:
        seconds = UPLOAD_SECONDS + blob.length / UPLOAD_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(seconds):
                await self._env.blobs.put(key, FixedLengthStream(blob, blob.length))
        except TimeoutError:
            raise RequestTimeout("The upload took too long.") from None
        except R2Error as error:
            self._env.log.error("backup_store_failed", error)
            raise StorageUnavailable("The blob could not be stored.", headers=_SOON) from None

    async def _give_up(self, key: str) -> None:
        try:
            # Whether a commit that failed was kept is not known: then the blob stays.
            is_ours = await self._repository.release(key)
        except Exception as error:
            self._env.log.error("backup_release_failed", error)
        else:
            if is_ours:
                await self._remove(key)

    async def _remove(self, key: str) -> None:
        try:
            await self._env.blobs.delete(key)
        except Exception as error:
            # The sweep will find it.
            self._env.log.error("backup_remove_failed", error)

    async def _refusal(self, expected: int | None) -> BackupChanged | BackupInUse:
        slot = await self._repository.slot(self._account_id)
        version = slot.version if slot is not None and slot.object_key is not None else None
        headers = {} if version is None else {"ETag": etag(version)}
        if version != expected:
            return BackupChanged("Fetch the backup, merge, and try again.", headers=headers)
        return BackupInUse("Another upload is under way.", headers={**headers, **_SOON})
