"""
All SQL of the slice and the names of its objects: slots and attachments in D1, blobs in R2.

Every step of a slot is one statement, so that D1 decides every race.
An upload is: `reserve` (nobody else begins), the blob goes to a fresh key, `commit` (only if the
reservation still stands). A reservation without a sign of life is taken over; whoever lost it fails
at `commit`, and never overwrites (facts/seeds.md X15).
"""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from d1_schema.contract import D1Statement
from worker.env import Env
from worker.quotas import Quota, Quotas

# An upload that gave no sign of life for longer is over.
BACKUP_SILENCE_SECONDS = 20
ATTACHMENT_SECONDS = 30 * 24 * 3600

SLOT_PREFIX: Final = "backups/"
ATTACHMENT_PREFIX: Final = "attachments/"

_SLOT = "SELECT * FROM backups WHERE account_id = ?"
# The row of a slot that was never used is made here; a SELECT lets the condition decide that too.
_RESERVE = """
INSERT INTO backups (account_id, version, pending_key, pending_at)
SELECT id, 0, ?2, ?3 FROM accounts
WHERE id = ?1 AND (?4 IS NULL OR EXISTS (SELECT 1 FROM backups WHERE account_id = ?1))
ON CONFLICT (account_id) DO UPDATE SET pending_key = ?2, pending_at = ?3
WHERE (CASE WHEN object_key IS NULL THEN ?4 IS NULL ELSE version = ?4 END)
    AND (pending_key IS NULL OR pending_at < ?5)
RETURNING object_key
"""
_TOUCH = "UPDATE backups SET pending_at = ?3 WHERE account_id = ?1 AND pending_key = ?2"
_RELEASE = """
UPDATE backups SET pending_key = NULL, pending_at = NULL WHERE account_id = ?1 AND pending_key = ?2
"""
_RELEASE_SILENT = """
UPDATE backups SET pending_key = NULL, pending_at = NULL WHERE pending_at < ?
"""
_COMMIT = """
UPDATE backups SET version = version + 1, object_key = pending_key, size = ?3, sha256 = ?4,
    updated_at = ?5, pending_key = NULL, pending_at = NULL
WHERE account_id = ?1 AND pending_key = ?2 RETURNING version, updated_at
"""
_DELETE = """
UPDATE backups SET version = version + 1, object_key = NULL, size = NULL, sha256 = NULL,
    updated_at = NULL, pending_key = NULL, pending_at = NULL
WHERE account_id = ?1 AND object_key = ?2 AND (pending_key IS NULL OR pending_at < ?3)
"""
# What the backup refers to does not expire; what it no longer refers to begins to.
_KEEP = """
UPDATE attachments SET expires_at =
    CASE WHEN id IN (SELECT value FROM json_each(?3)) THEN NULL ELSE ifnull(expires_at, ?4) END
WHERE account_id = ?1
    AND EXISTS (SELECT 1 FROM backups WHERE account_id = ?1 AND object_key IS ?2)
"""
_FORGET_SLOT = "DELETE FROM backups WHERE account_id = ?"
_NAMED = """
SELECT object_key, pending_key FROM backups
WHERE account_id IN (SELECT value FROM json_each(?))
"""
_FIND = "SELECT object_key, size FROM attachments WHERE id = ?1 AND ifnull(expires_at, ?2) >= ?2"
# The account's, while what was reserved for the upload stands.
_ADD = """
INSERT INTO attachments (id, account_id, object_key, size, created_at, expires_at)
SELECT id, account_id, ?3, bytes, ?4, ?5 FROM reservations WHERE id = ?1 AND account_id = ?2
RETURNING id
"""
_REMOVE = "DELETE FROM attachments WHERE id = ? AND account_id = ? RETURNING object_key"
_LIST = """
SELECT id, object_key, size, created_at, expires_at FROM attachments
WHERE account_id = ? AND (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT 500
"""
_FORGET_ATTACHMENTS = "DELETE FROM attachments WHERE account_id = ?"
_EXPIRED = """
DELETE FROM attachments WHERE id IN (SELECT id FROM attachments WHERE expires_at < ? LIMIT 500)
RETURNING object_key
"""
_KNOWN = "SELECT object_key FROM attachments WHERE id IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to upload to *key*; *old_key* is the blob that counts meanwhile, if any."""

    account_id: str
    key: str
    old_key: str | None


@dataclass(frozen=True, slots=True)
class Slot:
    """One account's backup: *object_key* None means that there is none (it was deleted)."""

    version: int
    object_key: str | None
    size: int
    sha256: str
    updated_at: int


class SlotStore:
    """The slots of one deployment."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._db = env.db

    async def slot(self, account_id: str) -> Slot | None:
        """Return the slot of an account; None when it was never used."""
        row: dict[str, Any] | None = await self._db.prepare(_SLOT).bind(account_id).first()
        if row is None:
            return None
        return Slot(
            row["version"],
            row["object_key"],
            row["size"] or 0,
            row["sha256"] or "",
            row["updated_at"] or 0,
        )

    async def reserve(self, account_id: str, key: str, expected: int | None) -> Reservation | None:
        """Begin an upload to *key*; None when *expected* is not the state, or another is at it."""
        values = (account_id, key, self._env.now_ms(), expected, self._silent_since)
        row = await self._db.prepare(_RESERVE).bind(*values).first()
        return None if row is None else Reservation(account_id, key, row["object_key"])

    async def touch(self, account_id: str, key: str) -> bool:
        """Give a sign of life of the upload to *key*; False when it is no longer reserved."""
        touch = self._db.prepare(_TOUCH).bind(account_id, key, self._env.now_ms())
        return (await touch.run()).meta.changes == 1

    async def release(self, account_id: str, key: str) -> bool:
        """Give up the upload to *key*; False when it was no longer reserved (or was committed)."""
        done = await self._db.prepare(_RELEASE).bind(account_id, key).run()
        return done.meta.changes == 1

    async def release_silent(self, since_ms: int) -> int:
        """Give up uploads without a sign of life since then (epoch ms); return how many."""
        return (await self._db.prepare(_RELEASE_SILENT).bind(since_ms).run()).meta.changes

    async def commit(
        self, held: Reservation, size: int, sha256: str, keeps: Sequence[str]
    ) -> Slot | None:
        """Let the uploaded blob count, with what it keeps; None when the reservation was lost."""
        values = (held.account_id, held.key, size, sha256, self._env.now_ms())
        commit = self._db.prepare(_COMMIT).bind(*values)
        keep = self._keep(held.account_id, held.key, keeps)
        rows = (await self._db.batch([commit, keep]))[0].results
        if not rows:
            return None
        return Slot(rows[0]["version"], held.key, size, sha256, rows[0]["updated_at"])

    async def delete(self, account_id: str, object_key: str) -> bool:
        """Empty the slot if it still holds *object_key* and nobody is uploading."""
        delete = self._db.prepare(_DELETE).bind(account_id, object_key, self._silent_since)
        done = await self._db.batch([delete, self._keep(account_id, None, ())])
        # What triggers change counts, too.
        return done[0].meta.changes >= 1

    async def forget(self, account_id: str) -> None:
        """Remove the slot with all that is known of it; an upload under way then fails."""
        await self._db.prepare(_FORGET_SLOT).bind(account_id).run()

    async def named(self, account_ids: Sequence[str]) -> set[str]:
        """Return the keys of those accounts' blobs that count or are being written."""
        rows = (await self._db.prepare(_NAMED).bind(json.dumps(account_ids)).all()).results
        return {key for row in rows for key in row.values() if key is not None}

    @property
    def _silent_since(self) -> int:
        """Uploads that gave no sign of life since then are over."""
        return self._env.now_ms() - BACKUP_SILENCE_SECONDS * 1000

    def _keep(self, account_id: str, object_key: str | None, keeps: Sequence[str]) -> D1Statement:
        ends = self._env.now_ms() + ATTACHMENT_SECONDS * 1000
        return self._db.prepare(_KEEP).bind(account_id, object_key, json.dumps(keeps), ends)


class AttachmentStore:
    """The rows of attachments."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._db = env.db

    async def find(self, attachment_id: str) -> dict[str, Any] | None:
        """Return object_key and size of an attachment that has not expired."""
        find = self._db.prepare(_FIND).bind(attachment_id, self._env.now_ms())
        row: dict[str, Any] | None = await find.first()
        return row

    async def add(self, account_id: str, attachment_id: str, key: str) -> int | None:
        """
        Make the row of what was reserved under its id; return when it expires (epoch ms).

        None: the reservation is over, or the account gone.
        """
        now_ms = self._env.now_ms()
        ends = now_ms + ATTACHMENT_SECONDS * 1000
        add = self._db.prepare(_ADD).bind(attachment_id, account_id, key, now_ms, ends)
        made, _ = await self._db.batch([add, Quotas(self._env).spend(attachment_id)])
        return ends if made.results else None

    async def reserve(
        self, account_id: str, attachment_id: str, length: int, seconds: float
    ) -> None:
        """Let an attachment be on its way; raises as `Quotas.reserve` does."""
        settings = self._env.settings
        quota = Quota("attachments", settings.attachments_max_bytes, settings.attachments_max_items)
        await Quotas(self._env).reserve(account_id, quota, attachment_id, length, seconds)

    async def give_up(self, account_id: str, attachment_id: str) -> None:
        """Take back what was reserved, and the row should there be one."""
        remove = self._db.prepare(_REMOVE).bind(attachment_id, account_id)
        await self._db.batch([remove, Quotas(self._env).spend(attachment_id)])

    async def remove(self, account_id: str, attachment_id: str) -> str | None:
        """Remove a row of the account; return the key of its object, None when there is none."""
        remove = self._db.prepare(_REMOVE).bind(attachment_id, account_id)
        key: str | None = await remove.first("object_key")
        return key

    async def of(self, account_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield id, object_key, size, created_at and expires_at of an account's attachments."""
        after: tuple[int, str] = (0, "")
        list_ = self._db.prepare(_LIST)
        while rows := (await list_.bind(account_id, *after).all()).results:
            for row in rows:
                yield row
            after = (rows[-1]["created_at"], rows[-1]["id"])

    async def forget(self, account_id: str) -> None:
        """Remove the rows of an account."""
        await self._db.prepare(_FORGET_ATTACHMENTS).bind(account_id).run()

    async def expire(self) -> list[str]:
        """Remove some rows that have expired; return the keys of their objects."""
        rows = (await self._db.prepare(_EXPIRED).bind(self._env.now_ms()).all()).results
        return [row["object_key"] for row in rows]

    async def named(self, attachment_ids: Iterable[str]) -> set[str]:
        """Return the keys of the objects that these attachments have."""
        ids = json.dumps(list(attachment_ids))
        rows = (await self._db.prepare(_KNOWN).bind(ids).all()).results
        return {row["object_key"] for row in rows}
