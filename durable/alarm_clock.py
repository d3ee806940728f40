"""
Rings the alarms of all objects of one runtime, at least once each.

A failed handler is called again after 2, 4, 8 … seconds plus up to a quarter, six times; then
the alarm is dropped. A reset of the object in the middle does not use up a retry. The time
comes from the clock handed in; the loop's own timer only says when to look at it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from durable.contract import AlarmInfo
from durable.errors import ObjectResetError
from durable.instance import Instance
from durable.timing import Timing
from durable.writes import AlarmRow

if TYPE_CHECKING:
    from durable.alarm_index import AlarmIndex
    from durable.cell import Cell
    from durable.contract import DurableObject

MAX_RETRIES: Final = 6
_MAX_EXPONENT: Final = 9
_MAX_RINGING: Final = 64
"""Handlers that run at once: a restart with thousands of overdue alarms stays calm."""

_LOOK_SECONDS: Final = 5.0
"""The clock is looked at this often at least: it may jump (a laptop that slept)."""

Key = tuple[str, str]


class AlarmClock:
    """Looks up what is due and delivers it."""

    def __init__(
        self,
        index: "AlarmIndex",
        classes: Callable[[], list[str]],
        find: Callable[[str, str], "Cell"],
        clock: Callable[[], float],
        log: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._index = index
        self._classes = classes
        self._find = find
        self._clock = clock
        self._log = log
        self._ringing: set[Key] = set()
        self._resets: dict[Key, tuple[int, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._is_started = False

    def start(self) -> None:
        """Begin: overdue alarms ring now."""
        self._is_started = True
        self.look()

    def stop(self) -> None:
        """End: nothing rings any more; what is due stays due."""
        self._is_started = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def ringing(self) -> int:
        """How many handlers run now."""
        return len(self._ringing)

    def look_soon(self) -> None:
        """Look at the loop's next turn, once however often it is asked."""
        if self._is_started and self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self.look)

    def look(self) -> None:
        """Ring what is due and set the timer for what comes next."""
        self._soon = None
        if not self._is_started:
            return
        now = self._clock()
        self._ring_overdue(now)
        following = self._index.next_after(int(now * 1000))
        later = [time for _, time in self._resets.values()]
        times = later if following is None else [*later, following / 1000]
        delay = min([_LOOK_SECONDS, *(max(0.001, time - now) for time in times)])
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay, self.look)

    def _ring_overdue(self, now: float) -> None:
        skipped = len(self._ringing) + len(self._resets) + _MAX_RINGING
        for key in self._index.overdue(self._classes(), int(now * 1000), skipped):
            if len(self._ringing) >= _MAX_RINGING:
                return
            _, not_before = self._resets.get(key, (0, 0.0))
            if key in self._ringing or not_before > now:
                continue
            self._ring(key, self._find(*key))

    def _ring(self, key: Key, cell: "Cell") -> None:
        self._ringing.add(key)

        def settle(_result: Any, error: BaseException | None, is_reset: bool) -> None:
            self._ringing.discard(key)
            if error is None:
                self._resets.pop(key, None)
            else:
                self._postpone(key, cell.timing, error)
            self.look_soon()

        try:
            cell.deliver_inside(ring, settle)
        except Exception as error:
            settle(None, error, True)

    def _postpone(self, key: Key, timing: Timing, error: BaseException) -> None:
        count = self._resets.get(key, (0, 0.0))[0]
        delay = timing.retry_seconds * 2 ** min(count, _MAX_EXPONENT)
        self._resets[key] = (count + 1, self._clock() + delay)
        self._log("alarm interrupted", {"class": key[0], "id": key[1], "error": str(error)})


async def ring(instance: Instance, actor: "DurableObject") -> None:
    """One call of an object's alarm handler, with everything that follows from its outcome."""
    cell, writes = instance.cell, instance.writes
    row = writes.alarm()
    if row is None or row[1] > instance.now_ms():
        cell.correct_alarm(None if row is None else row[1])
        return
    instance.ringing = row
    handler = getattr(type(actor), "alarm", None)
    try:
        if handler is None:
            raise ObjectResetError("Handler does not export an alarm() function.")
        async with asyncio.timeout(cell.timing.alarm_seconds):
            await handler(actor, AlarmInfo(row[0], row[2]))
    except Exception as error:
        cell.log("alarm failed", {"retry_count": row[2], "error": repr(error)})
        following = None if handler is None else after_failure(row, cell)
    else:
        following = None
    # A time set inside the handler stands; only the alarm that rang is replaced.
    if instance.ringing is row and instance.broken is None:
        writes.set_alarm(following)
    instance.ringing = None


def after_failure(row: AlarmRow, cell: "Cell") -> AlarmRow | None:
    """Return the alarm as it waits for its next retry, or None after the last."""
    scheduled, _, retries = row
    if retries >= MAX_RETRIES:
        cell.log("alarm dropped", {"retry_count": retries})
        return None
    delay = cell.timing.retry_seconds * 2 ** min(retries, _MAX_EXPONENT)
    jitter = int.from_bytes(cell.random_bytes(2)) / 65536 / 4
    return scheduled, cell.now_ms() + int(delay * (1 + jitter) * 1000), retries + 1
