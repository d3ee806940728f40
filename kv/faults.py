"""
KV as production can be: stale, forgetful of news, and strict about one key (bindings.md A8).

A namespace of this kind wraps another one. It finds code that takes an eventually consistent store
for a consistent one. Switched on by the setting FAULTS; never in production.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from kv.checks import KVError
from kv.contract import KVNamespace, KVPage, KVRow, KVStored

STALE: Final = "kv-stale"
"""What was read once, a miss too, is read again for a minute whatever was written since."""
ONE_WRITE: Final = "kv-one-write"
"""A second write to a key within a second is refused with 429."""
SHORT_PAGES: Final = "kv-short-pages"
"""Lists come in short pages, some of them empty, before the list is complete."""
KINDS: Final = frozenset({STALE, ONE_WRITE, SHORT_PAGES})

STALE_SECONDS: Final = 60
_REMEMBERED: Final = 10_000


class FaultyNamespace(KVNamespace):
    """A namespace with the faults *kinds* (of KINDS) over *inner*."""

    # It is a namespace around a namespace, so it calls the primitives of its own kind.
    # ruff: noqa: SLF001

    def __init__(
        self, inner: KVNamespace, kinds: frozenset[str], clock: Callable[[], float]
    ) -> None:
        super().__init__(clock)
        self._inner = inner
        self._kinds = kinds
        self._seen: dict[str, tuple[float, KVStored | None]] = {}
        self._written: dict[str, float] = {}
        self._pages = 0

    async def _read(self, key: str, cache_ttl: int | None) -> KVStored | None:
        if STALE not in self._kinds:
            return await self._inner._read(key, cache_ttl)
        now = self._clock()
        until, stored = self._seen.get(key, (0.0, None))
        if now >= until:
            stored = await self._inner._read(key, cache_ttl)
            _bound(self._seen)
            self._seen[key] = (now + STALE_SECONDS, stored)
        return stored

    async def _read_many(self, keys: Sequence[str]) -> dict[str, KVStored]:
        found = {key: await self._read(key, None) for key in keys}
        return {key: stored for key, stored in found.items() if stored is not None}

    async def _write(self, row: KVRow) -> None:
        self._count_write(row.key)
        await self._inner._write(row)

    async def _write_many(self, rows: Sequence[KVRow]) -> None:
        for row in rows:
            self._count_write(row.key)
        await self._inner._write_many(rows)

    async def _remove(self, key: str) -> None:
        await self._inner._remove(key)

    async def _scan(self, prefix: str, cursor: str | None, limit: int) -> KVPage:
        if SHORT_PAGES not in self._kinds:
            return await self._inner._scan(prefix, cursor, limit)
        self._pages += 1
        if cursor is not None and self._pages % 3 == 0:
            return KVPage([], list_complete=False, cursor=cursor)
        return await self._inner._scan(prefix, cursor, max(1, limit // 3))

    def _count_write(self, key: str) -> None:
        if ONE_WRITE not in self._kinds:
            return
        now = self._clock()
        if now - self._written.get(key, -1.0) < 1:
            raise KVError("PUT", 429, "Too Many Requests")
        _bound(self._written)
        self._written[key] = now

    async def close(self) -> None:
        """Close the namespace underneath."""
        await self._inner.close()


def _bound(remembered: dict[str, Any]) -> None:
    """Keep a memory from growing without end: the oldest entry goes."""
    if len(remembered) >= _REMEMBERED:
        del remembered[next(iter(remembered))]
