"""The platform's own rate limit, where wrangler_compat.toml binds one under a row's name."""

from collections.abc import Sequence
from typing import Any

from worker import interop
from worker.interop import JsError
from worker.limiter.counting import Attempt, Limiter, Try
from worker.limits import RateLimit

# The binding does not say when to come back; so long is the period in wrangler_compat.toml.
_PERIOD_SECONDS = 10.0


class PlatformLimiter:
    """
    A `Limiter` over bindings named RATE_LIMIT_<ROW>; rows without one go to *rest*.

    The platform counts in each of its locations, roughly (facts/bindings.md E).
    """

    __slots__ = ("_js_env", "_rest")

    def __init__(self, js_env: Any, rest: Limiter) -> None:
        self._js_env = js_env
        self._rest = rest

    async def take(self, row: RateLimit, key: str) -> float:
        """See `Limiter.take`; a binding that fails lets everybody in."""
        binding = interop.member(self._js_env, f"RATE_LIMIT_{row.name.upper()}")
        if binding is None:
            return await self._rest.take(row, key)
        try:
            outcome = await interop.call(binding, "limit", interop.plain_object(key=key))
        except JsError:
            return 0.0
        return 0.0 if outcome.success else _PERIOD_SECONDS

    async def trusts(self, one: Try) -> bool:
        """See `Limiter.trusts`."""
        return await self._rest.trusts(one)

    async def attempt(self, tries: Sequence[Try]) -> list[Attempt]:
        """See `Limiter.attempt`."""
        return await self._rest.attempt(tries)

    async def undo(self, tries: Sequence[Try], good: bool) -> None:
        """See `Limiter.undo`."""
        await self._rest.undo(tries, good)
