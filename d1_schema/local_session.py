"""Sessions of a database that has no replicas: every read sees the newest rows."""

from collections.abc import Sequence
from typing import Protocol

from d1_schema.contract import D1Rows, D1Session
from d1_schema.values import Parameter, Value


class Bookmarked(Protocol):
    """What a session needs of its database."""

    async def run_first(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Value]] | None:
        """Run one statement; return columns and first row, or None."""
        ...

    async def run_batch(
        self, statements: Sequence[tuple[str, tuple[Parameter, ...]]]
    ) -> list[D1Rows]:
        """Run the statements in one transaction."""
        ...

    async def bookmark(self) -> str:
        """Name the newest commit; of two names the later one is greater as text."""
        ...


class LocalSession(D1Session):
    """A session over any runner that can name its newest commit."""

    def __init__(self, database: Bookmarked, constraint: str | None) -> None:
        self._database = database
        is_bookmark = constraint not in (None, "", "first-primary", "first-unconstrained")
        self._bookmark = constraint if is_bookmark else None

    def get_bookmark(self) -> str | None:
        """See the contract."""
        return self._bookmark

    async def run_first(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Value]] | None:
        """See the contract."""
        found = await self._database.run_first(sql, parameters)
        await self._move_on()
        return found

    async def run_batch(
        self, statements: Sequence[tuple[str, tuple[Parameter, ...]]]
    ) -> list[D1Rows]:
        """See the contract."""
        rows = await self._database.run_batch(statements)
        await self._move_on()
        return rows

    async def _move_on(self) -> None:
        self._bookmark = max(self._bookmark or "", await self._database.bookmark())
