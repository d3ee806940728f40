"""
Everything in memory about one object: its file, its sockets, and its instance while it lives.

A cell stays while the object has an instance or sockets; the instance comes and goes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from d1_schema.sqlite.engine import is_damage
from durable.contract import ActorsClosedError, DurableObject, ObjectId
from durable.event import Settle
from durable.instance import Instance
from durable.local_context import LocalContext
from durable.object_file import ObjectFile
from durable.socket_frames import ABNORMAL, Closed
from durable.socket_hub import SocketHub
from durable.timing import Timing
from durable.writes import Writes

if TYPE_CHECKING:
    from durable.actor_class import ActorClass

Inside = Callable[[Instance, DurableObject], Awaitable[Any]]


class Cell:
    """One object that is in memory."""

    __slots__ = ("_class", "_hub", "file", "id", "instance", "last_used")

    def __init__(self, actor_class: "ActorClass", id: ObjectId, file: ObjectFile) -> None:
        self._class = actor_class
        self._hub: SocketHub | None = None
        self.id = id
        self.file = file
        self.instance: Instance | None = None
        self.last_used = 0.0
        """Epoch seconds of the last event's end, by the clock handed in."""

    @property
    def timing(self) -> Timing:
        """How long to wait for what."""
        return self._class.timing

    @property
    def hub(self) -> SocketHub:
        """The object's sockets."""
        if self._hub is None:
            self._hub = SocketHub(self)
        return self._hub

    @property
    def socket_count(self) -> int:
        """How many sockets the object has."""
        return 0 if self._hub is None else len(self._hub)

    @property
    def is_idle(self) -> bool:
        """Whether no event runs and none waits."""
        return (self.instance is None or self.instance.is_idle) and (
            self._hub is None or self._hub.is_quiet
        )

    def running(self) -> "list[asyncio.Task[Any]]":
        """The tasks of the object's events and other work."""
        return [] if self.instance is None else self.instance.all_tasks()

    def now_ms(self) -> int:
        """The clock in epoch milliseconds."""
        return int(self._class.clock() * 1000)

    def random_bytes(self, count: int) -> bytes:
        """Random bytes from the source handed in."""
        return self._class.random_bytes(count)

    def log(self, event: str, fields: dict[str, Any]) -> None:
        """Report something nobody else gets to see."""
        self._class.log(event, {"class": self._class.name, "id": self.id.hex, **fields})

    def touch(self) -> None:
        """Note that the object is in use."""
        self.last_used = self._class.clock()
        self._class.used(self)

    # -- the instance ----------------------------------------------------------------------------

    def wake(self) -> Instance:
        """Return the instance, constructing it when there is none."""
        instance = self.instance
        if instance is None:
            instance = Instance(self)
            self.instance = instance
            try:
                instance.actor = self._class.construct(LocalContext(self, instance))
            except BaseException as error:
                if is_damage(error):
                    raise instance.lose_file(error) from None
                if instance.broken is None:
                    instance.reset(error)
                raise
            self.touch()
        self.file.touch()
        return instance

    def deliver_inside(self, start: Inside, settle: Settle) -> None:
        """Deliver an event of the runtime itself (alarm, WebSocket)."""
        instance = self.wake()
        instance.deliver(lambda actor: start(instance, actor), settle)

    def was_reset(self, instance: Instance, reason: BaseException) -> None:
        """Forget *instance*; its sockets go with it, as at the edge."""
        self.log("object reset", {"reason": str(reason)})
        self.file.close()
        if self.instance is instance:
            self.instance = None
            if self._hub is not None:
                self._hub.drop_all(Closed(ABNORMAL, str(reason)[:120], was_clean=False))
        self._class.used(self)

    def set_file_aside(self, error: BaseException) -> None:
        """Let the object begin anew: its file is damaged, as *error* says."""
        kept = self.file.set_aside(self.id.name, int(self._class.clock()))
        self.log("object file damaged", {"file": str(kept), "error": repr(error)})

    def evict(self) -> None:
        """Drop an instance that is idle, so committed; sockets, tags and attachments stay."""
        instance, self.instance = self.instance, None
        if instance is not None:
            emptied = instance.writes.emptied
            instance.leave()
            if emptied:
                self.file.remove()
        self.file.close()

    def shut_down(self, closed: Closed) -> None:
        """Commit, end the sockets with *closed*, and leave memory; what still runs is cut."""
        instance = self.instance
        if instance is not None:
            instance.flush_now()
        if self._hub is not None:
            self._hub.drop_all(closed)
        if instance is not None and not instance.is_idle:
            instance.reset(ActorsClosedError("The local runtime is shutting down."))
        self.evict()

    # -- commits -----------------------------------------------------------------------------------

    def commit(self, writes: Writes) -> None:
        """Commit *writes* and keep the alarm index never later than the object's own truth."""
        self._class.before_commit(self.id)
        if not writes.alarm_changed:
            writes.commit()
            return
        row = writes.alarm()
        due = None if row is None else row[1]
        index, name, digits = self._class.alarms, self._class.name, self.id.hex
        index.before_commit(name, digits, due)
        writes.commit()
        index.after_commit(name, digits, due)
        self._class.alarm_changed()

    def correct_alarm(self, due_ms: int | None) -> None:
        """Enter in the index what the object's file says."""
        self._class.alarms.after_commit(self._class.name, self.id.hex, due_ms)
