"""
The crons of wrangler_compat.toml on a host: when they are due, and the clock that fires them.

Expressions are Cloudflare's (https://developers.cloudflare.com/workers/configuration/cron-triggers/):
five fields, UTC. Cloudflare counts weekdays from 1 = Sunday, crontab from 0 = Sunday, so a number
would mean different days here and there: weekdays must be named.
"""

import asyncio
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.env import Env

_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# A digit that is neither the ordinal of `FRI#2` nor the step of `*/2`.
_WEEKDAY_NUMBER = re.compile(r"(?<![#/0-9])[0-9]")
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
    from cronsim import CronSim, CronSimError

    fields = cron.upper().split()
    if len(fields) != 5:
        raise ValueError(
            f"{cron!r} must have 5 fields (minute, hour, day of month, month, weekday)"
        )
    if _WEEKDAY_NUMBER.search(fields[4]):
        raise ValueError(
            f"{cron!r} gives the weekday as a number, which Cloudflare counts from 1 = SUN and "
            "crontab from 0 = SUN; write its name (SUN, MON, TUE, WED, THU, FRI, SAT)"
        )
    for number, name in enumerate(_WEEKDAYS):
        # cronsim reads `5L` (last Friday) but not `FRIL`.
        fields[4] = fields[4].replace(name, str(number))
    try:
        return next(CronSim(" ".join(fields), after.astimezone(UTC)))
    except CronSimError as error:
        raise ValueError(f"{cron!r} is not a cron expression: {error}") from None
    except StopIteration:
        raise ValueError(f"{cron!r} is never due") from None


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
