"""The crons of wrangler_compat.toml on a host: when they are due, and the clock that fires them."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.entry.cron_expression import Cron

if TYPE_CHECKING:
    from worker.env import Env

# A laptop may sleep and its clock may be set: no wait is longer than this, in seconds.
_LONGEST_WAIT = 30.0


def check_cron(cron: str) -> None:
    """Raise ValueError, a phrase for a person, unless *cron* can be run here and at the edge."""
    next_run(cron, datetime(2024, 1, 1, tzinfo=UTC))


def next_run(cron: str, after: datetime) -> datetime:
    """
    Return the first moment after *after* (aware) at which *cron* is due, in UTC.

    Raises ValueError when the expression is not valid or never due.
    """
    due = Cron.parse(cron).after(after.astimezone(UTC))
    if due is None:
        raise ValueError(f"{cron!r} is never due: Bad day-of-month for its months")
    return due


class CronClock:
    """
    Fires each cron when it is due, for as long as `run` runs.

    Crons do not wait for each other, and none overlaps itself: a run that takes longer than its
    period is followed by the next due moment after its end. What was due while the machine slept
    runs once on waking.
    """

    def __init__(self, crons: Iterable[str]) -> None:
        self._crons = tuple(crons)

    async def run(self, worker: Any, env: "Env") -> None:
        """Call `worker.scheduled(cron, env)` at every due moment until cancelled."""
        async with asyncio.TaskGroup() as group:
            for cron in self._crons:
                group.create_task(_keep(cron, worker, env), name=f"cron {cron}")


async def _keep(cron: str, worker: Any, env: "Env") -> None:
    due = next_run(cron, _now(env))
    while True:
        wait = (due - _now(env)).total_seconds()
        if wait > 0:
            await env.tools.pause(min(wait, _LONGEST_WAIT))
            continue
        try:
            await worker.scheduled(cron, env)
        except Exception as error:
            # One bad night must not end the nights after it.
            env.log.error("cron_failed", error, cron=cron)
        due = next_run(cron, max(due, _now(env)))


def _now(env: "Env") -> datetime:
    return datetime.fromtimestamp(env.tools.now(), UTC)
