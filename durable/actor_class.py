"""One class of actors in the local runtime: its cells, ids and stubs."""

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d1_schema.sqlite.engine import Error, is_damage
from durable.cell import Cell
from durable.contract import (
    DurableObject,
    ObjectContext,
    ObjectId,
    ObjectNamespace,
    ObjectStub,
)
from durable.errors import ActorsClosedError, remote_copy
from durable.event import Fate, Start, reply_to
from durable.ids import IdFactory
from durable.instance import CURRENT_INSTANCE
from durable.object_file import ObjectFile
from durable.rpc import call_member
from durable.timing import Timing
from durable.values import copy_sent

if TYPE_CHECKING:
    from durable.alarm_index import AlarmIndex
    from durable.embedded import Actors


class ActorClass:
    """What all objects of one class share."""

    def __init__(self, actors: "Actors", name: str, factory: type[DurableObject], env: Any) -> None:
        self._actors = actors
        self._factory = factory
        self._env = env
        self.name = name
        self.ids = IdFactory(name, actors.random_bytes)
        self.directory: Path = actors.directory / name
        self.cells: OrderedDict[str, Cell] = OrderedDict()
        """Objects in memory, the one used longest ago first."""
        self.timing: Timing = actors.timing
        self.clock: Callable[[], float] = actors.clock
        self.random_bytes: Callable[[int], bytes] = actors.random_bytes
        self.log: Callable[[str, dict[str, Any]], None] = actors.log
        self.alarms: AlarmIndex = actors.alarms

    def path(self, hex: str) -> Path:
        """Where the object's file is, or would be."""
        return self.directory / hex[:2] / f"{hex}.sqlite"

    def construct(self, context: ObjectContext) -> DurableObject:
        """Make the actor of one instance."""
        return self._factory(context, self._env)

    def cell(self, id: ObjectId) -> Cell:
        """Return the cell of *id*, bringing the object into memory."""
        if self._actors.is_closed:
            raise ActorsClosedError("The local runtime is shutting down.")
        cell = self.cells.get(id.hex)
        if cell is None:
            cell = Cell(self, *self._named_file(id))
            self.cells[id.hex] = cell
            self._actors.expect_idle()
        return cell

    def _named_file(self, id: ObjectId) -> tuple[ObjectId, ObjectFile]:
        file = ObjectFile(self._actors.files, self.path(id.hex), id.name)
        if id.name is not None or not file.exists:
            return id, file
        try:
            return ObjectId(id.hex, file.metadata("name")), file
        except Error as error:
            if not is_damage(error):
                raise
            Cell(self, id, file).set_file_aside(error)
            return id, file

    def used(self, cell: Cell) -> None:
        """Note the use of *cell*; forget it when nothing is left of it."""
        if cell.instance is None and not cell.socket_count:
            if self.cells.get(cell.id.hex) is cell:
                del self.cells[cell.id.hex]
            cell.file.close()
        else:
            self.cells.move_to_end(cell.id.hex)

    def before_commit(self, id: ObjectId) -> None:
        """Let the fault switch have its say."""
        self._actors.before_commit(self.name, id)

    def alarm_changed(self) -> None:
        """The next alarm may be another one now."""
        self._actors.alarm_clock.look_soon()

    def alarm_of(self, hex: str) -> int | None:
        """When the alarm of an object rings, as far as the index knows."""
        return self.alarms.due(self.name, hex)

    def outside_file(self, hex: str) -> ObjectFile:
        """The file of an object that is not in memory; the caller closes it."""
        return ObjectFile(self._actors.files, self.path(hex), None)

    def evict_idle(self, before: float) -> None:
        """Drop the instances without work since *before* (epoch seconds)."""
        for cell in list(self.cells.values()):
            if cell.last_used > before:
                return
            if cell.instance is not None and cell.is_idle:
                cell.evict()
                self.used(cell)


class LocalNamespace(ObjectNamespace):
    """`env.ROOM` and its like."""

    def __init__(self, actor_class: ActorClass) -> None:
        self._class = actor_class

    def id_from_name(self, name: str) -> ObjectId:
        return self._class.ids.from_name(name)

    def new_unique_id(self) -> ObjectId:
        return self._class.ids.unique()

    def id_from_string(self, hex: str) -> ObjectId:
        return self._class.ids.from_hex(hex)

    def get(self, id: ObjectId) -> ObjectStub:
        self._class.ids.check(id.hex)
        return LocalStub(self._class, id)


class LocalStub(ObjectStub):
    """A handle on one object."""

    __slots__ = ("_class", "_fate", "id")

    def __init__(self, actor_class: ActorClass, id: ObjectId) -> None:
        self._class = actor_class
        self._fate: Fate | None = None
        self.id = id

    async def fetch(self, request: Any) -> Any:
        return await self._deliver(lambda actor: _fetch(actor, request))

    async def call(self, method: str, *args: Any) -> Any:
        sent = copy_sent(args) if args else ()
        return await self._deliver(lambda actor: call_member(actor, method, sent))

    def _deliver(self, start: Start) -> "asyncio.Future[Any]":
        caller = CURRENT_INSTANCE.get()
        if caller is not None:
            # The output gate: what the caller wrote is durable before it asks others.
            caller.flush_now()
            if caller.broken is not None:
                raise remote_copy(caller.broken, remote=False)
        if self._fate is not None and self._fate.reason is not None:
            raise remote_copy(self._fate.reason, remote=False)
        instance = self._class.cell(self.id).wake()
        self._fate = instance.fate
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        instance.deliver(start, reply_to(reply))
        return reply


async def _fetch(actor: DurableObject, request: Any) -> Any:
    handler = getattr(type(actor), "fetch", None)
    if handler is None:
        raise TypeError("Handler does not export a fetch() function.")
    response = handler(actor, request)
    if inspect.isawaitable(response):
        response = await response
    if response is None:
        raise TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.")
    return response
