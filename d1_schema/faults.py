"""
D1 as production can be: overloaded for a moment (bindings.md B5).

A database of this kind wraps another one and refuses a share of the calls, before anything of them
happened. Switched on by the setting FAULTS; never in production.
"""

from collections.abc import Callable, Sequence
from typing import Final

from d1_schema.contract import D1Database, D1Error, D1Rows, D1Session
from d1_schema.values import Parameter, Value

OVERLOAD: Final = "d1-overload"
KINDS: Final = frozenset({OVERLOAD})
SHARE: Final = 0.1
"""Of so many calls one is refused: enough to be met, few enough to get on with retries."""


class FaultyDatabase(D1Database):
    """A database that is overloaded now and then. *dice* gives numbers from 0 up to 1."""

    def __init__(self, inner: D1Database, dice: Callable[[], float]) -> None:
        self._inner = inner
        self._dice = dice

    def _perhaps_refuse(self) -> None:
        if self._dice() < SHARE:
            raise D1Error("D1_ERROR: D1 DB is overloaded. Too many requests queued.")

    async def run_first(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Value]] | None:
        """See the contract."""
        self._perhaps_refuse()
        return await self._inner.run_first(sql, parameters)

    async def run_batch(
        self, statements: Sequence[tuple[str, tuple[Parameter, ...]]]
    ) -> list[D1Rows]:
        """See the contract."""
        self._perhaps_refuse()
        return await self._inner.run_batch(statements)

    async def run_lines(self, lines: Sequence[str]) -> float:
        """See the contract."""
        self._perhaps_refuse()
        return await self._inner.run_lines(lines)

    def _session(self, constraint: str | None) -> D1Session:
        """See the contract. Sessions are spared."""
        return self._inner.with_session(constraint)

    async def close(self) -> None:
        """See the contract."""
        await self._inner.close()
