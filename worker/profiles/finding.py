"""Where the report of an import is, and who may read it: who imported, and auditors."""

from typing import Any

from worker.env import Env
from worker.idempotency import owner_of
from worker.identity.caller import Caller
from worker.profiles.progress import AUDITOR
from worker.profiles.store.profiles import read_report

AUDIT = "profiles:audit"


def asker_of(caller: Caller) -> str:
    """Return the digest of who asks, or the word for those who may see every import."""
    return AUDITOR if caller.may(AUDIT) else owner_of(caller.subject)


async def find_report(env: Env, import_id: str, asker: str) -> dict[str, Any] | None:
    """
    Return the report of an import as of now; None when there is none, or it is not *asker*'s.

    It lies in KV when it is final, in its room before; in the box of who imported for the hour in
    which a cache of KV may not know it yet.
    """
    kept = await read_report(env, import_id)
    if kept is not None:
        return kept.report if await may_read(env, import_id, kept.owner, asker) else None
    found: dict[str, Any] | None = await env.import_room.get_by_name(import_id).call(
        "report", asker
    )
    if found is None and asker != AUDITOR:
        found = await env.idempotency_box.get_by_name(asker).call("report_of", import_id)
    return found


async def may_read(env: Env, import_id: str, owner: str, asker: str) -> bool:
    """Whether *asker* may read a report; those of before name no *owner*, but a box knows them."""
    if asker == AUDITOR or owner:
        return asker in (AUDITOR, owner)
    return bool(await env.idempotency_box.get_by_name(asker).call("knows", import_id))
