"""
What crashes and time leave behind: blobs that no row names, attachments that have expired.

A blob is an orphan when it is older than any upload can last and no slot counts it or waits for it.
"""

from collections.abc import Awaitable, Callable

from worker.backup.store import ATTACHMENT_PREFIX, SLOT_PREFIX, AttachmentStore, SlotStore
from worker.env import Env

# Older than the longest upload: what then belongs to nothing is an orphan.
ORPHAN_SECONDS = 3600

# Later than any upload began, and the largest whole number that D1 binds.
_END_OF_TIME_MS = 2**53 - 1

# Given (account, last name) of keys, the keys of these that rows name.
Named = Callable[[list[tuple[str, str]]], Awaitable[set[str]]]


async def release_all(env: Env) -> None:
    """
    Give up every reservation. For a host that begins: it serves its state alone, so whoever
    reserved is gone, and clients need not wait for that to show by silence.
    """
    released = await SlotStore(env).release_silent(_END_OF_TIME_MS)
    if released:
        env.log.event("info", "backup_reservations_released", count=released)


async def sweep(env: Env) -> None:
    """Remove expired attachments and orphaned blobs; safe to run at any time, and again."""
    slots, attachments = SlotStore(env), AttachmentStore(env)
    while keys := await attachments.expire():
        await env.blobs.delete(keys)
    # Else the blob of a crashed upload would be waited for until the next upload.
    await slots.release_silent(env.now_ms() - ORPHAN_SECONDS * 1000)

    async def named(keys: list[tuple[str, str]]) -> set[str]:
        return await slots.named(list({account_id for account_id, _ in keys}))

    async def known(keys: list[tuple[str, str]]) -> set[str]:
        return await attachments.named(attachment_id for _, attachment_id in keys)

    removed = await _remove_orphans(env, SLOT_PREFIX, named)
    removed += await _remove_orphans(env, ATTACHMENT_PREFIX, known)
    if removed:
        env.log.event("info", "orphans_removed", count=removed)


async def _remove_orphans(env: Env, prefix: str, named: Named) -> int:
    removed = 0
    cursor: str | None = None
    oldest_upload = env.tools.now() - ORPHAN_SECONDS
    while True:
        page = await env.blobs.list(prefix=prefix, cursor=cursor)
        old = [item.key for item in page.objects if item.uploaded.timestamp() < oldest_upload]
        names = [_names(key.removeprefix(prefix)) for key in old]
        used = await named(names) if names else set()
        orphans = [key for key in old if key not in used]
        if orphans:
            await env.blobs.delete(orphans)
            removed += len(orphans)
        if not page.truncated:
            return removed
        cursor = page.cursor


def _names(rest: str) -> tuple[str, str]:
    account_id, _, name = rest.partition("/")
    return account_id, name
