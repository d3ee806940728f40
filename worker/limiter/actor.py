"""
Counting for a whole deployment: one `RateLimiter` actor for each row and key.

For where requests of one client meet many processes, as at the edge. Only `exact` rows and failed
sign-ins are worth the way to an actor; the others are left to what stands nearer.
"""

from collections.abc import Callable, Sequence
from typing import Any

from durable.contract import AlarmInfo, DurableObject, ObjectNamespace, ObjectStub
from worker.env import Env
from worker.limiter.counting import (
    Attempt,
    Counting,
    Failures,
    Try,
    counter_id,
    kept_until,
    step_attempt,
    step_bucket,
    step_undo,
    trusted,
)
from worker.limits import RATE_LIMITS, SLOW_DOWNS, RateLimit, SlowDown

_BUCKETS = {row.name: row for row in RATE_LIMITS}
_SLOW_DOWNS = {row.name: row for row in SLOW_DOWNS}
_STATE = "state"


class RateLimiter(DurableObject):
    """What is counted for one row and key; kept in storage, because idle actors are put away."""

    env: Env

    async def take(self, row_name: str) -> float:
        """See `worker.limiter.counting.Limiter.take`."""
        row, now = _BUCKETS[row_name], self.env.tools.now()
        full_at = await self.ctx.storage.get(_STATE)
        wait, full_at = step_bucket(row, full_at or 0.0, now)
        await self._keep(full_at, full_at)
        return wait

    async def trusts(self, row_name: str) -> bool:
        """See `worker.limiter.counting.Limiter.trusts`."""
        return trusted(_SLOW_DOWNS[row_name], await self._failures(), self.env.tools.now())

    async def attempt(self, row_name: str) -> list[Any]:
        """See `worker.limiter.counting.Limiter.attempt`; the verdict as a list."""
        row, now = _SLOW_DOWNS[row_name], self.env.tools.now()
        verdict, kept = step_attempt(row, await self._failures(), now)
        await self._remember(row, kept)
        return list(verdict)

    async def undo(self, row_name: str, good: bool) -> None:
        """See `worker.limiter.counting.Limiter.undo`."""
        row = _SLOW_DOWNS[row_name]
        await self._remember(
            row, step_undo(row, await self._failures(), self.env.tools.now(), good)
        )

    async def alarm(self, info: AlarmInfo) -> None:
        """Forget what no longer matters."""
        await self.ctx.storage.delete_all()

    async def _failures(self) -> Failures:
        kept = await self.ctx.storage.get(_STATE)
        return Failures() if kept is None else Failures(*kept)

    async def _remember(self, row: SlowDown, kept: Failures) -> None:
        await self._keep(list(kept), kept_until(row, kept))

    async def _keep(self, state: Any, until: float) -> None:
        await self.ctx.storage.put(_STATE, state)
        await self.ctx.storage.set_alarm(int(until * 1000) + 1000)


class ActorLimiter:
    """A `Limiter` that asks *actors* for what must be exact, and *near* for all else."""

    __slots__ = ("_actors", "_near")

    def __init__(self, actors: Callable[[], ObjectNamespace], near: Counting) -> None:
        self._actors = actors
        self._near = near

    async def take(self, row: RateLimit, key: str) -> float:
        """See `Limiter.take`."""
        if not row.exact:
            return await self._near.take(row, key)
        return float(await self._actor(row, key).call("take", row.name))

    async def trusts(self, one: Try) -> bool:
        """See `Limiter.trusts`."""
        return bool(await self._actor(*one).call("trusts", one.row.name))

    async def attempt(self, tries: Sequence[Try]) -> list[Attempt]:
        """See `Limiter.attempt`."""
        verdicts: list[Attempt] = []
        for number, one in enumerate(tries):
            verdicts.append(Attempt(*await self._actor(*one).call("attempt", one.row.name)))
            if verdicts[-1].wait > 0:
                await self.undo(tries[:number], good=False)
                break
        return verdicts

    async def undo(self, tries: Sequence[Try], good: bool) -> None:
        """See `Limiter.undo`."""
        for one in tries:
            await self._actor(*one).call("undo", one.row.name, good)

    def _actor(self, row: RateLimit | SlowDown, key: str) -> ObjectStub:
        return self._actors().get_by_name(counter_id(row, key))
