"""What is left of an account's imports, to be exported and erased (`worker.data_holders`)."""

from collections.abc import AsyncIterator
from typing import Any

from durable.contract import ObjectResetError, ObjectStub
from worker import idempotency
from worker.data_holders import Exported, Owned
from worker.env import Env
from worker.profiles.finding import find_report
from worker.profiles.store.profiles import KV_PREFIX, REPORT_PREFIX

_PSEUDONYMS = "Personas without a person: nothing leads from them to an account."


class ImportHolder:
    """The imports of an account: rooms, reports with its notes, keys and their answers."""

    owns = (
        Owned("actor", "ImportRoom"),
        Owned("actor", "IdempotencyBox"),
        Owned("kv", f"IMPORT_REPORT_KV/{REPORT_PREFIX}"),
        Owned("kv", f"IDEMPOTENCY_KV/{idempotency.PREFIX}"),
        Owned("kv", f"PROFILES_KV/{KV_PREFIX}", "", "kept", _PSEUDONYMS),
        Owned("table", "profiles", "", "kept", _PSEUDONYMS),
        Owned("table", "profile_count", "", "kept", "A number."),
        Owned("actor", "ProfileCount", "", "kept", _PSEUDONYMS),
    )

    async def export(self, env: Env, account_id: str) -> AsyncIterator[Exported]:
        """Yield the report of every import that is still known."""
        owner = idempotency.owner_of(account_id)
        async for run in _runs(_box(env, account_id)):
            report = await find_report(env, run["run"], owner)
            if report is not None:
                yield Exported("imports", report)

    async def erase(self, env: Env, account_id: str) -> None:
        """Break off imports under way; remove rooms, reports, answers, and the box at last."""
        box = _box(env, account_id)
        async for run in _runs(box):
            await _end(env, run["run"])
            await env.import_report_kv.delete(REPORT_PREFIX + run["run"])
            if run["key"] is not None:
                await env.idempotency_kv.delete(idempotency.PREFIX + run["key"])
        await box.call("erase")


def _box(env: Env, account_id: str) -> ObjectStub:
    return env.idempotency_box.get_by_name(idempotency.owner_of(account_id))


async def _runs(box: ObjectStub) -> AsyncIterator[dict[str, Any]]:
    after = ""
    while page := await box.call("held", after):
        for run in page:
            yield run
        after = page[-1]["run"]


async def _end(env: Env, import_id: str) -> None:
    try:
        await env.import_room.get_by_name(import_id).call("erase")
    except ObjectResetError:
        # So it ends what runs in it; nothing does any more.
        await env.import_room.get_by_name(import_id).call("erase")
