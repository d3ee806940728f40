"""
Counting in the database of a host: it outlives a restart; no made-up name pushes a real one out.

What is over is removed by the hourly job (`purge_counters`). There is no upper limit: a row stands
for some minutes after a try that was judged, and judging passwords is slower than writing rows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from d1_schema.contract import D1Database, D1Error
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
from worker.limits import RateLimit

_READ = """
SELECT id, version, state FROM counters WHERE id IN (SELECT value FROM json_each(?))
"""
# Of two changes that began at the same state one leaves no version (NOT NULL), so all of it fails.
_KEEP = """
INSERT INTO counters (id, version, state, ends_at) VALUES (?1, 1, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET version = CASE WHEN version = ?2 THEN version + 1 END,
    state = ?3, ends_at = ?4
"""
_PURGE = "DELETE FROM counters WHERE ends_at < ?"

_FULL = (0.0,)

T = TypeVar("T")
States = Mapping[str, Sequence[float]]
"""What is kept, by the ids of counters."""
Kept = Mapping[str, tuple[Sequence[float], float]]
"""What is to be kept, and the moment from which it says nothing."""


class DatabaseLimiter:
    """A `Limiter` that keeps in *db* what must be exact, and asks *near* for all else."""

    __slots__ = ("_db", "_near", "_now")

    def __init__(
        self, db: Callable[[], D1Database], now: Callable[[], float], near: Counting
    ) -> None:
        self._db = db
        self._now = now
        self._near = near

    async def take(self, row: RateLimit, key: str) -> float:
        """See `Limiter.take`."""
        if not row.exact:
            return await self._near.take(row, key)
        name = counter_id(row, key)

        def step(states: States, now: float) -> tuple[float, Kept]:
            wait, full_at = step_bucket(row, states.get(name, _FULL)[0], now)
            return wait, {} if wait else {name: ((full_at,), full_at)}

        return await self._change([name], step)

    async def trusts(self, one: Try) -> bool:
        """See `Limiter.trusts`."""
        name = counter_id(*one)
        states, _ = await self._read([name])
        return trusted(one.row, Failures(*states.get(name, ())), self._now())

    async def attempt(self, tries: Sequence[Try]) -> list[Attempt]:
        """See `Limiter.attempt`."""
        names = [counter_id(*one) for one in tries]

        def step(states: States, now: float) -> tuple[list[Attempt], Kept]:
            verdicts: list[Attempt] = []
            kept: dict[str, tuple[Sequence[float], float]] = {}
            for one, name in zip(tries, names, strict=True):
                verdict, failures = step_attempt(one.row, Failures(*states.get(name, ())), now)
                verdicts.append(verdict)
                if verdict.wait > 0:
                    return verdicts, {}
                kept[name] = (failures, kept_until(one.row, failures))
            return verdicts, kept

        return await self._change(names, step)

    async def undo(self, tries: Sequence[Try], good: bool) -> None:
        """See `Limiter.undo`."""
        names = [counter_id(*one) for one in tries]

        def step(states: States, now: float) -> tuple[None, Kept]:
            kept: dict[str, tuple[Sequence[float], float]] = {}
            for one, name in zip(tries, names, strict=True):
                failures = step_undo(one.row, Failures(*states.get(name, ())), now, good)
                kept[name] = (failures, kept_until(one.row, failures))
            return None, kept

        await self._change(names, step)

    async def _read(self, names: Sequence[str]) -> tuple[States, Mapping[str, int]]:
        rows = (await self._db().prepare(_READ).bind(json.dumps(names)).all()).results
        states = {row["id"]: json.loads(row["state"]) for row in rows}
        return states, {row["id"]: row["version"] for row in rows}

    async def _change(
        self, names: Sequence[str], step: Callable[[States, float], tuple[T, Kept]]
    ) -> T:
        """Return the outcome of *step* once what it wants kept is kept, all of it together."""
        while True:
            states, versions = await self._read(names)
            outcome, kept = step(states, self._now())
            if not kept:
                return outcome
            keep = self._db().prepare(_KEEP)
            changes = [
                keep.bind(name, versions.get(name, 0), json.dumps(state), int(until * 1000))
                for name, (state, until) in kept.items()
            ]
            try:
                await self._db().batch(changes)
            except D1Error as error:
                # Somebody else was faster, so it is judged anew; of all at least one goes on.
                if error.code != "SQLITE_CONSTRAINT":
                    raise
            else:
                return outcome


async def purge_counters(env: Env) -> None:
    """Remove what says nothing any more."""
    await env.db.prepare(_PURGE).bind(env.now_ms()).run()
