"""
The input gate: who of an object's events may move.

Storage never suspends an event, so events change places only where they await something
else. `drive` runs an event's coroutine and stops it at such a place for as long as another
event holds the gate (`block_concurrency_while`, a transaction).
"""

import asyncio
import contextlib
import types
from collections import deque
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Final, TypeVar

T = TypeVar("T")

MAX_WAITING: Final = 10_000
"""Events that may wait in front of one object; the next one is refused as overload."""


class Turn:
    """One event, or one critical section of an event: what the gate lets through or holds."""

    __slots__ = ("has_waited",)

    def __init__(self) -> None:
        self.has_waited = False
        """Whether it gave way since it began, so that other events may have moved."""


CURRENT_TURN: ContextVar[Turn | None] = ContextVar("durable_current_turn", default=None)


class Section:
    """A stretch during which only its holder moves."""

    __slots__ = ("task", "turn")

    def __init__(self, turn: Turn | None, task: "asyncio.Task[Any] | None") -> None:
        self.turn = turn
        self.task = task


class Gate:
    """The gate of one instance."""

    __slots__ = ("_held", "_queue", "_waiters")

    def __init__(self) -> None:
        self._held: list[Section] = []
        # Sections that wait for the gate; while there are any, new events wait behind them.
        self._queue: deque[tuple[Section, asyncio.Future[None]]] | None = None
        self._waiters: deque[asyncio.Future[None]] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether a new event has to wait."""
        return bool(self._held) or bool(self._queue)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters or ()) + len(self._queue or ())

    def lets(self, turn: Turn | None) -> bool:
        """Whether *turn* may move now."""
        return not self._held or self._held[-1].turn is turn

    def lets_task(self) -> bool:
        """Whether the task that runs now may touch storage."""
        return not self._held or self._held[-1].task is asyncio.current_task()

    async def wait(self) -> None:
        """Wait for the gate to change."""
        if self._waiters is None:
            self._waiters = deque()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter.cancelled() and self._waiters is not None:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)

    async def enter(self) -> None:
        """Wait until a new event may start."""
        while self.is_closed:
            await self.wait()

    def take(
        self, section: Section, inside: "asyncio.Task[Any] | None"
    ) -> "asyncio.Future[None] | None":
        """
        Close the gate for all but *section*, or queue for it.

        *inside* is the task that asks. When it holds the gate already, the new section nests
        within. Returns None when *section* has the gate, else what `hold` waits for.
        """
        if (not self._held and not self._queue) or (self._held and self._held[-1].task is inside):
            self._held.append(section)
            return None
        if self._queue is None:
            self._queue = deque()
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((section, granted))
        return granted

    async def hold(self, section: Section, granted: "asyncio.Future[None] | None") -> None:
        """Wait until *section*, which was taken or queued by `take`, has the gate."""
        if granted is None:
            return
        try:
            await granted
        except BaseException:
            entry = (section, granted)
            if self._queue is not None and entry in self._queue:
                self._queue.remove(entry)
            else:
                self.release(section)
            raise

    def release(self, section: Section) -> None:
        """Open the gate again after *section*."""
        self._held.remove(section)
        if self._held:
            self._wake()
        elif self._queue:
            following, turn = self._queue.popleft()
            self._held.append(following)
            turn.set_result(None)
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


@types.coroutine
def drive(gate: Gate, turn: Turn, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Run *coroutine* as *turn*, holding it at its suspensions while the gate is closed."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            awaited = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        turn.has_waited = True
        try:
            value, error = (yield awaited), None
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as thrown:
            value, error = None, thrown
        while not gate.lets(turn):
            try:
                yield from gate.wait().__await__()
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as thrown:
                # A cancellation reaches the event at once: it is to end, not to go on.
                value, error = None, thrown
                break
