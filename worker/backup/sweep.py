"""
What crashes and time leave behind: blobs that no row names, attachments that have expired.

A blob is an orphan when it is older than any upload can last and no slot counts it or waits for it.
"""

import json
from collections.abc import Awaitable, Callable

from worker.backup import attachments, service
from worker.backup.repository import BackupRepository
from worker.env import Env
from worker.limits import ORPHAN_SECONDS

_EXPIRED = """
DELETE FROM attachments WHERE id IN (SELECT id FROM attachments WHERE expires_at < ? LIMIT 500)
RETURNING object_key
"""
_KNOWN = "SELECT object_key FROM attachments WHERE object_key IN (SELECT value FROM json_each(?))"

InUse = Callable[[str], Awaitable[set[str]]]


async def sweep(env: Env) -> None:
    """Remove expired attachments and orphaned blobs; safe to run at any time, and again."""
    await _expire(env)
    removed = await _remove_orphans(env, service.PREFIX, BackupRepository(env).in_use)
    removed += await _remove_orphans(env, attachments.PREFIX, lambda keys: _known(env, keys))
    if removed:
        env.log.event("info", "orphans_removed", count=removed)


async def _expire(env: Env) -> None:
    while True:
        rows = (await env.db.prepare(_EXPIRED).bind(env.now_ms()).all()).results
        if not rows:
            return
        await env.blobs.delete([row["object_key"] for row in rows])


async def _remove_orphans(env: Env, prefix: str, in_use: InUse) -> int:
    removed = 0
    cursor: str | None = None
    oldest_upload = env.tools.now() - ORPHAN_SECONDS
    while True:
        page = await env.blobs.list(prefix=prefix, cursor=cursor)
        old = [item.key for item in page.objects if item.uploaded.timestamp() < oldest_upload]
        used = await in_use(json.dumps(old)) if old else set()
        orphans = [key for key in old if key not in used]
        if orphans:
            await env.blobs.delete(orphans)
            removed += len(orphans)
        if not page.truncated:
            return removed
        cursor = page.cursor


async def _known(env: Env, keys: str) -> set[str]:
    rows = (await env.db.prepare(_KNOWN).bind(keys).all()).results
    return {row["object_key"] for row in rows}
