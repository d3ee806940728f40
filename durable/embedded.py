"""
Durable Objects in this process: one SQLite file per object below one directory.

    actors = await Actors.open(directory, clock=time.time, random_bytes=os.urandom)
    rooms = actors.bind("Room", Room, env)
    await actors.start()
    await rooms.get_by_name("lobby").call("enter", "ada")

Files: `<directory>/<class>/<first two digits>/<id>.sqlite`, and `alarms.sqlite` for finding
the alarms after a restart. One process at a time may use a directory.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from d1_schema.sqlite.engine import Connection
from durable import looking
from durable.actor_class import ActorClass, LocalNamespace
from durable.alarm_clock import AlarmClock
from durable.alarm_index import AlarmIndex
from durable.cell import Cell
from durable.contract import DurableObject, ObjectId, ObjectNamespace
from durable.object_file import OpenFiles
from durable.socket_frames import Closed
from durable.timing import Timing

T = TypeVar("T")

MAX_OPEN_FILES: Final = 112
"""Object databases open at a time: two file descriptors each, and few more on their way out."""

_GOING_AWAY: Final = Closed(1001, "The server is going away.")


def _log(event: str, fields: dict[str, Any]) -> None:
    logging.getLogger("edgekeep.durable").warning("%s %s", event, fields)


class Actors:
    """The local runtime: all classes of one host."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        log: Callable[[str, dict[str, Any]], None],
        timing: Timing,
        max_open_files: int,
        before_commit: Callable[[str, ObjectId], None],
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.clock = clock
        self.random_bytes = random_bytes
        self.log = log
        self.timing = timing
        self.before_commit = before_commit
        self.files = OpenFiles(directory, max_open_files)
        self.alarms = AlarmIndex(directory / "alarms.sqlite")
        self.alarm_clock = AlarmClock(self.alarms, lambda: self.class_names, self._find, clock, log)
        self.is_closed = False
        self._classes: dict[str, ActorClass] = {}
        self._idle_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        log: Callable[[str, dict[str, Any]], None] = _log,
        timing: Timing | None = None,
        max_open_files: int = MAX_OPEN_FILES,
        before_commit: Callable[[str, ObjectId], None] = lambda _class, _id: None,
    ) -> "Actors":
        """
        Open the runtime on *directory* (made when missing).

        Args:
            clock: the time in epoch seconds; alarms go by it.
            log: gets what no caller sees: failed handlers, resets.
            before_commit: called with class and id before each commit; what it raises makes
                the commit fail (fault mode, tests).
        """
        return cls(
            directory,
            clock=clock,
            random_bytes=random_bytes,
            log=log,
            timing=timing or Timing(),
            max_open_files=max_open_files,
            before_commit=before_commit,
        )

    def bind(self, class_name: str, factory: type[DurableObject], env: Any) -> ObjectNamespace:
        """Let *factory* be the class *class_name*; *env* goes to each actor's constructor."""
        if not class_name.isidentifier():
            raise ValueError(f"A class name must be an identifier, not {class_name!r}.")
        if class_name in self._classes:
            raise ValueError(f"The class {class_name} is bound already.")
        self._classes[class_name] = ActorClass(self, class_name, factory, env)
        return LocalNamespace(self._classes[class_name])

    async def start(self) -> None:
        """Start the alarm clock: overdue alarms ring."""
        self.alarm_clock.start()

    async def tick(self) -> None:
        """Do now what the timers do: ring what is due, drop who is idle (for tests)."""
        self.alarm_clock.look()
        self.evict_idle()

    async def close(self) -> None:
        """Let events finish for a moment, commit, close sockets with 1001, close the files."""
        self.alarm_clock.stop()
        # Events that run may still call other objects; only then nothing new is taken.
        await self._wait_for(self.running(), self.timing.grace_seconds)
        self.is_closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        cut = self.running()
        for cell in self._cells():
            cell.shut_down(_GOING_AWAY)
        await self._wait_for(cut, self.timing.grace_seconds)
        self.alarms.close()
        await asyncio.get_running_loop().run_in_executor(None, self.files.finish)

    # -- for looking at it ------------------------------------------------------------------------

    @property
    def class_names(self) -> list[str]:
        """The classes bound here."""
        return list(self._classes)

    def live(self, class_name: str) -> list[looking.LiveObject]:
        """The objects of a class that are in memory, the one used last first."""
        return looking.live_objects(self._class(class_name))

    def stored(
        self, class_name: str, *, limit: int = 100, after: str = ""
    ) -> list[looking.StoredObject]:
        """At most *limit* objects of a class that have a file, by id, those behind *after*."""
        return looking.stored_objects(self._class(class_name), limit, after)

    def look(self, class_name: str, digits: str) -> looking.ObjectLook | None:
        """One object from outside, without waking it; errors: `KeyError` and `looking.look`."""
        return looking.look(self._class(class_name), digits)

    def look_at_values(
        self, class_name: str, digits: str, *, after: str | None, limit: int, max_bytes: int
    ) -> list[tuple[str, str | bytes]]:
        """A page of an object's values in their stored form; see `looking.values`."""
        return looking.values(self._class(class_name), digits, after, limit, max_bytes)

    def look_with(self, class_name: str, digits: str, work: Callable[[Connection], T]) -> T | None:
        """Run *work* on an object's file, which it cannot change; see `looking.reading`."""
        return looking.reading(self._class(class_name), digits, work)

    def _class(self, class_name: str) -> ActorClass:
        found = self._classes.get(class_name)
        if found is None:
            raise KeyError(f"There is no actor class {class_name}.")
        return found

    # -- who is in memory --------------------------------------------------------------------------

    def expect_idle(self) -> None:
        """Look for idle instances in a while."""
        if self._idle_timer is None and not self.is_closed:
            self._idle_timer = asyncio.get_running_loop().call_later(
                self.timing.idle_seconds / 4, self._on_idle_timer
            )

    def evict_idle(self) -> None:
        """Drop instances that were idle long enough."""
        for actor_class in self._classes.values():
            actor_class.evict_idle(self.clock() - self.timing.idle_seconds)

    def _on_idle_timer(self) -> None:
        self._idle_timer = None
        self.evict_idle()
        if any(actor_class.cells for actor_class in self._classes.values()):
            self.expect_idle()

    def _cells(self) -> list[Cell]:
        return [c for a in self._classes.values() for c in list(a.cells.values())]

    def _find(self, class_name: str, hex: str) -> Cell:
        return self._classes[class_name].cell(ObjectId(hex))

    def running(self) -> list[asyncio.Task[Any]]:
        """The tasks of all events and other work of objects."""
        return [task for cell in self._cells() for task in cell.running()]

    @staticmethod
    async def _wait_for(tasks: list[asyncio.Task[Any]], seconds: float) -> None:
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
