"""
One live instance of an object: its events, its output gate, its end.

Boundaries at which writes are committed: the loop's next turn after the first write, the end
of an event that is alone in the object, `storage.sync()`, a call to another object, and the
moment before the instance leaves memory. Replies, WebSocket messages and closes that come up
while something is uncommitted are held until then. One commit serves all events that were
waiting for it; when it fails, none of them gets its reply and the object is reset.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from d1_schema.sqlite.engine import is_damage
from durable.errors import ObjectAbortedError, ObjectResetError, OverloadedError
from durable.event import Event, Fate, Settle, Start
from durable.gate import CURRENT_TURN, MAX_WAITING, Gate, Section, Turn, drive
from durable.writes import EVICTED, AlarmRow, Writes

if TYPE_CHECKING:
    from durable.cell import Cell
    from durable.contract import DurableObject

CURRENT_INSTANCE: ContextVar["Instance | None"] = ContextVar("durable_instance", default=None)
"""The instance whose event runs in this task: its writes go out before its calls do."""

BLOCKED_TOO_LONG = (
    "A call to blockConcurrencyWhile() in a Durable Object waited for too long. "
    "The call was canceled and the Durable Object was reset."
)


class Instance:
    """One instance of one object."""

    __slots__ = (
        "__weakref__",
        "_flush_is_due",
        "_held",
        "actor",
        "cell",
        "events",
        "fate",
        "gate",
        "ringing",
        "tasks",
        "writes",
    )

    def __init__(self, cell: "Cell") -> None:
        self.cell = cell
        self.gate = Gate()
        self.writes = Writes(cell.file, self.schedule_flush)
        self.events: dict[Event, asyncio.Task[Any] | None] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        """Work besides events: critical sections and wait_until."""
        self.fate = Fate()
        self.ringing: AlarmRow | None = None
        """The alarm whose handler runs now, as long as nobody set a new one."""
        self._held: list[tuple[Callable[[], None], Event | None]] = []
        self._flush_is_due = False
        self.actor: DurableObject | None = None

    @property
    def broken(self) -> BaseException | None:
        """Why this instance was reset, or None."""
        return self.writes.broken

    def all_tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks of all events and of all other work."""
        return [*(task for task in self.events.values() if task is not None), *self.tasks]

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.events and not self.tasks and not self.writes.dirty and not self._held

    def now_ms(self) -> int:
        """The clock that was handed in, in epoch milliseconds."""
        return self.cell.now_ms()

    # -- events ----------------------------------------------------------------------------

    def deliver(self, start: Start, settle: Settle) -> None:
        """
        Run *start* on the actor as an event of its own; *settle* gets result or error.

        Raises:
            OverloadedError: too many events wait in front of the gate.
        """
        if self.gate.waiting >= MAX_WAITING:
            raise OverloadedError("Durable Object is overloaded. Too many requests queued.")
        event = Event(start, settle)
        task = asyncio.get_running_loop().create_task(self._run(event))
        self.events[event] = task

    async def _run(self, event: Event) -> None:
        CURRENT_INSTANCE.set(self)
        CURRENT_TURN.set(event)
        result: Any = None
        failure: BaseException | None = None
        try:
            if self.gate.is_closed:
                await self.gate.enter()
            assert self.actor is not None
            result = event.start(self.actor)
            if inspect.iscoroutine(result):
                result = await drive(self.gate, event, result)
            elif inspect.isawaitable(result):
                result = await result
        except ObjectAbortedError:
            return  # everybody was told by the reset
        except (Exception, asyncio.CancelledError) as error:
            if self.broken is not None:
                return
            if is_damage(error):
                self.lose_file(error)
                return
            failure = error
        finally:
            self.events.pop(event, None)
            self.cell.touch()
        self.hold(lambda: event.finish(result, failure), event)
        if self._held and not self.events and self.writes.depth == 0:
            self.flush_now()

    # -- the output gate -------------------------------------------------------------------

    def hold(self, action: Callable[[], None], event: Event | None = None) -> None:
        """
        Do *action* once everything written so far is durable; at once when it is.

        When it never becomes durable, *event* gets the error instead.
        """
        if self.broken is not None:
            return
        if self.writes.dirty or self._held:
            self._held.append((action, event))
        else:
            action()

    def schedule_flush(self) -> None:
        """Commit at the loop's next turn."""
        if not self._flush_is_due:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        self.flush_now()

    def flush_now(self) -> None:
        """Commit and let out what was held; inside a transaction, leave both to its end."""
        writes = self.writes
        if self.broken is not None or writes.depth:
            return
        if writes.dirty:
            try:
                self.cell.commit(writes)
            except Exception as error:
                # Whatever SQLite says here, the writes are not durable.
                if is_damage(error):
                    self.lose_file(error)
                else:
                    self.reset(_as_reset(error))
                return
        held, self._held = self._held, []
        for action, _ in held:
            action()

    # -- the end ---------------------------------------------------------------------------

    def reset(self, reason: BaseException) -> None:
        """Throw the instance away: undo its writes, give every caller in it *reason*."""
        if self.broken is not None:
            return
        self.writes.broken = reason
        self.fate.reason = reason
        held, self._held = self._held, []
        with contextlib.suppress(Exception):
            # A file that cannot even undo is closed below, which undoes as well.
            self.writes.undo()
        self.cell.was_reset(self, reason)
        current = asyncio.current_task()
        events, self.events = self.events, {}
        for _, held_event in held:
            if held_event is not None:
                held_event.finish(None, reason, is_reset=True)
        for event, task in events.items():
            event.finish(None, reason, is_reset=True)
            if task is not None and task is not current:
                task.cancel()
        for task in self.tasks:
            if task is not current:
                task.cancel()

    def lose_file(self, error: BaseException) -> ObjectResetError:
        """
        Throw the instance away and its damaged file aside: the next call finds a new object.

        It would otherwise fail for ever; what is lost cannot be read, and what can be is kept.
        Returns what callers are told.
        """
        reason = ObjectResetError("The object's file was damaged; the object begins anew.")
        reason.retryable = True
        self.reset(reason)
        self.cell.set_file_aside(error)
        return reason

    def leave(self) -> None:
        """
        End an instance that is idle: its storage is closed to what may still hold it.

        What points in a circle is taken apart, so that the memory is free at once: thousands of
        objects that come and go would wait a long time for the collector.
        """
        self.writes.close(EVICTED)
        self.actor = None

    def abort(self, reason: str | Exception) -> None:
        """Reset on the actor's own wish and end the event that asked."""
        error = ObjectResetError(reason) if isinstance(reason, str) else reason
        self.reset(error)
        raise ObjectAbortedError(str(reason))

    # -- critical sections and other work ----------------------------------------------------

    def block_concurrency_while(self, fn: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        """Run *fn* with the gate closed for everybody else."""
        section = Section(Turn(), None)
        try:
            inside = asyncio.current_task()
        except RuntimeError:
            inside = None
        # Closed from this moment on, not from the task's first step.
        granted = self.gate.take(section, inside)
        task = self.keep_alive(self._section(section, fn, granted))
        section.task = task
        return task

    async def _section(
        self,
        section: Section,
        fn: Callable[[], Awaitable[Any]],
        granted: "asyncio.Future[None] | None",
    ) -> Any:
        CURRENT_INSTANCE.set(self)
        CURRENT_TURN.set(section.turn)
        await self.gate.hold(section, granted)
        timer = self.limit_section()
        try:
            assert section.turn is not None
            return await drive(self.gate, section.turn, _awaited(fn))
        except Exception as error:
            if is_damage(error):
                raise self.lose_file(error) from None
            self.reset(error)
            raise
        finally:
            timer.cancel()
            self.gate.release(section)

    def limit_section(self) -> asyncio.TimerHandle:
        """Start the clock of a critical section; the caller cancels it at its end."""
        return asyncio.get_running_loop().call_later(
            self.cell.timing.section_seconds,
            lambda: self.reset(ObjectResetError(BLOCKED_TOO_LONG)),
        )

    def keep_alive(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run *work*; the instance stays in memory until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.discard(task)
        self.cell.touch()
        if not task.cancelled():
            task.exception()  # whoever awaits it sees it; nobody must, so no warning

    # -- storage that concerns the whole object ------------------------------------------------

    def alarm_was_set(self) -> None:
        """A new alarm (or none) replaces the one whose handler runs."""
        self.ringing = None

    def delete_all(self) -> None:
        """Remove values, tables and alarm."""
        if self.writes.reader() is None:
            return
        self.writes.empty()
        self.alarm_was_set()


async def _awaited(fn: Callable[[], Awaitable[Any]]) -> Any:
    result = fn()
    return await result if inspect.isawaitable(result) else result


def _as_reset(error: Exception) -> Exception:
    if isinstance(error, ObjectResetError):
        return error
    return ObjectResetError(f"The write could not be made durable, the object was reset: {error}")
