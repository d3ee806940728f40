"""
ProfileCount: how many profiles KV holds, exactly and at once.

KV keeps no total and has no transactions, and a list of it is a scan that anybody could ask for. So
this actor knows the ids: who writes says so before and after. What was announced and not settled (a
crash, a fault) is looked up in KV at the next question; a nightly recount sees what others wrote.
D1 counts by itself (migration 20261128_profiles_create_count).
"""

import asyncio
import json
from typing import Any

from durable.contract import DurableObject, ObjectContext
from worker.env import Env
from worker.profiles.store.count import CountTables
from worker.profiles.store.profiles import KV_PREFIX, READ_AT_ONCE, counter, recount_d1


class ProfileCount(DurableObject):
    """The one counter of a deployment. *token* names one write of some ids."""

    env: Env

    def __init__(self, ctx: ObjectContext, env: Env) -> None:
        super().__init__(ctx, env)
        self._tables = CountTables(ctx.storage)
        self._counting = asyncio.Lock()
        # Writes that this instance saw begin: they will be settled; of all others nobody knows.
        self._live: set[str] = set()

    async def expect(self, token: str, ids: list[str]) -> None:
        """Note that *ids* are about to be written or deleted."""
        self._live.add(token)
        self._tables.expect(token, json.dumps(ids))

    async def settle(self, token: str, ids: list[str], present: bool) -> None:
        """Note that the write was made: *ids* are there now, or gone."""
        self._live.discard(token)
        self._tables.settle(json.dumps(ids), present)
        self._tables.forget(token)

    async def doubt(self, token: str) -> None:
        """Note that the write failed: what of it was made is not known."""
        self._live.discard(token)

    async def total(self) -> int:
        """Return the number of profiles."""
        if not self._tables.is_counted():
            await self.recount()
        for token in self._tables.tokens():
            if token not in self._live:
                await self._look(token)
        return self._tables.total()

    async def recount(self) -> None:
        """Count by listing: the first time, and in case somebody wrote behind our back."""
        async with self._counting:
            self._tables.begin_recount()
            cursor: str | None = None
            while True:
                page = await self.env.profiles_kv.list(prefix=KV_PREFIX, cursor=cursor)
                ids = [key.name.removeprefix(KV_PREFIX) for key in page.keys]
                self._tables.recounted(json.dumps(ids))
                cursor = page.cursor
                if page.list_complete:
                    break
            self._tables.end_recount()

    async def _look(self, token: str) -> None:
        """Ask KV what came of a write that nobody settles any more."""
        while ids := self._tables.pending(token, READ_AT_ONCE):
            keys = [KV_PREFIX + profile_id for profile_id in ids]
            found: dict[str, Any] = await self.env.profiles_kv.get_many(keys)
            for present in (True, False):
                those = [i for i in ids if (found[KV_PREFIX + i] is not None) == present]
                self._tables.settle(json.dumps(those), present)
            self._tables.forget(token, json.dumps(ids))


async def recount_nightly(env: Env) -> None:
    """Correct both counts, should somebody have written past them."""
    if env.settings.profile_store == "kv":
        await counter(env).call("recount")
    else:
        await recount_d1(env.db)
