"""What became of each cron in this process: the console shows it."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.app import Worker
from worker.env import Env


@dataclass(frozen=True, slots=True)
class CronRun:
    """One run: *started* as epoch seconds, *seconds* it took, whether it went well."""

    started: float
    seconds: float
    is_done: bool


class RecordedCrons:
    """Runs the crons of *worker* and remembers the last run of each."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._last: dict[str, CronRun] = {}

    @property
    def last(self) -> Mapping[str, CronRun]:
        """The last run of each cron that has run, by expression."""
        return self._last

    async def scheduled(self, cron: str, env: Env) -> bool:
        """Run the job of *cron* as `Worker.scheduled` does, and note what became of it."""
        started = env.tools.now()
        is_done = await self._worker.scheduled(cron, env)
        if cron in self._worker.schedules:
            self._last[cron] = CronRun(started, env.tools.now() - started, is_done)
        return is_done
