"""
What a developer may want to see of the local runtime: who lives, who has a file, and what is in it.

Nothing is woken, changed or locked. A look at one object happens within one turn of the event loop,
on the connection that the runtime itself has (or would have) to the object's file: a second
connection would be kept out by the lock of the first, or keep the object out. While it lasts the
connection refuses to write, and what takes longer than a moment is interrupted. An object that is
in the middle of a transaction is seen as it sees itself.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from d1_schema.sqlite.engine import Connection
from durable.contract import ObjectId
from durable.local_socket import LocalSocket

if TYPE_CHECKING:
    from durable.actor_class import ActorClass
    from durable.cell import Cell
    from durable.object_file import ObjectFile

T = TypeVar("T")

LOOK_SECONDS: Final = 0.05
"""How long one look may hold the loop."""
_STEPS: Final = 1000
_SOCKETS_SHOWN: Final = 100

_ALARM: Final = "SELECT scheduled_ms, due_ms, retries FROM _cf_ALARM /*edgekeep's own*/"
_NAME: Final = "SELECT value FROM _cf_METADATA WHERE key = 'name' /*edgekeep's own*/"
_VALUES: Final = (
    "SELECT key, value FROM _cf_KV WHERE key > ? ORDER BY key LIMIT ? /*edgekeep's own*/"
)
_VALUES_FROM_START: Final = "SELECT key, value FROM _cf_KV ORDER BY key LIMIT ? /*edgekeep's own*/"
_READ_ONLY: Final = "PRAGMA query_only = {:d} /*edgekeep's own*/"


@dataclass(frozen=True, slots=True)
class LiveObject:
    """One object in memory."""

    id: ObjectId
    is_awake: bool
    """False while it hibernates behind its sockets."""
    events: int
    """Events that run or wait."""
    sockets: int
    last_used: float
    """Epoch seconds."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object that has a file."""

    id: ObjectId
    """With its name, where it was made from one."""
    size_bytes: int
    alarm_ms: int | None
    """When it rings next, in epoch milliseconds."""
    is_live: bool


@dataclass(frozen=True, slots=True)
class SocketLook:
    """One accepted WebSocket."""

    tags: list[str]
    state: int
    """1 open, 2 closing, 3 closed."""
    attachment: Any
    """A copy of what the object keeps with it, or None."""


@dataclass(frozen=True, slots=True)
class AlarmLook:
    """When an alarm rings, in epoch milliseconds; *due_ms* is later while a retry waits."""

    scheduled_ms: int
    due_ms: int
    retries: int


@dataclass(frozen=True, slots=True)
class ObjectLook:
    """One object as it is at this moment."""

    id: ObjectId
    live: LiveObject | None
    """None while it is not in memory."""
    size_bytes: int
    alarm: AlarmLook | None
    sockets: list[SocketLook] = field(default_factory=list)
    """At most 100, the newest first."""
    tags: dict[str, int] = field(default_factory=dict)
    """How many sockets have each tag."""


def look(actor_class: "ActorClass", digits: str) -> ObjectLook | None:
    """
    Return the object with the id *digits*; None when it has neither file nor memory.

    Raises:
        TypeError: *digits* is no id of this class.
        Error: its file cannot be read.
    """
    actor_class.ids.from_hex(digits)
    cell = actor_class.cells.get(digits)
    found = _reading(actor_class, digits, _alarm_and_name)
    if cell is None and found is None:
        return None
    alarm, name = found or (None, None)
    sockets = cell.hub.sockets(None) if cell is not None and cell.socket_count else []
    return ObjectLook(
        cell.id if cell is not None else ObjectId(digits, name),
        live_object(cell) if cell is not None else None,
        _size(actor_class, digits),
        alarm,
        [_socket(one) for one in sockets[:_SOCKETS_SHOWN]],
        dict(Counter(tag for one in sockets for tag in one.tags or ())),
    )


def values(
    actor_class: "ActorClass", digits: str, after: str | None, limit: int, max_bytes: int
) -> list[tuple[str, str | bytes]]:
    """
    Return up to *limit* keys behind *after* (None: from the start) with their stored form.

    Fewer when they hold more than *max_bytes*, but at least one. For the form see
    durable/values.py. Errors as `look`.
    """

    def read(connection: Connection) -> list[tuple[str, str | bytes]]:
        if after is None:
            cursor = connection.execute(_VALUES_FROM_START, (limit,))
        else:
            cursor = connection.execute(_VALUES, (after, limit))
        found: list[tuple[str, str | bytes]] = []
        room = max_bytes
        for key, value in cursor:
            if room < 0:
                break
            found.append((key, value))
            room -= len(value)
        cursor.close()
        return found

    return reading(actor_class, digits, read) or []


def reading(actor_class: "ActorClass", digits: str, work: Callable[[Connection], T]) -> T | None:
    """
    Return what *work* returns for a connection that cannot write; None when there is no file.

    *work* must not await, nor keep the connection or a cursor. Errors as `look`.
    """
    actor_class.ids.from_hex(digits)
    return _reading(actor_class, digits, work)


def _reading(actor_class: "ActorClass", digits: str, work: Callable[[Connection], T]) -> T | None:
    cell = actor_class.cells.get(digits)
    if cell is not None:
        return _guarded(cell.file, work) if cell.file.exists else None
    file = actor_class.outside_file(digits)
    if not file.exists:
        return None
    try:
        return _guarded(file, work)
    finally:
        file.close()


def _guarded(file: "ObjectFile", work: Callable[[Connection], T]) -> T:
    connection = file.connection()
    deadline = time.perf_counter() + LOOK_SECONDS
    connection.execute(_READ_ONLY.format(1)).fetchall()
    connection.set_progress_handler(lambda: time.perf_counter() > deadline, _STEPS)
    try:
        return work(connection)
    finally:
        connection.set_progress_handler(None)
        connection.execute(_READ_ONLY.format(0)).fetchall()


def _alarm_and_name(connection: Connection) -> tuple[AlarmLook | None, str | None]:
    alarm = connection.execute(_ALARM).fetchone()
    name = connection.execute(_NAME).fetchone()
    return (None if alarm is None else AlarmLook(*alarm), None if name is None else name[0])


def _size(actor_class: "ActorClass", digits: str) -> int:
    cell = actor_class.cells.get(digits)
    return (cell.file if cell is not None else actor_class.outside_file(digits)).size()


def _socket(ws: LocalSocket) -> SocketLook:
    return SocketLook(list(ws.tags or ()), ws.ready_state, ws.deserialize_attachment())


def live_objects(actor_class: "ActorClass") -> list[LiveObject]:
    """Return the objects in memory, the one used last first."""
    return [live_object(cell) for cell in reversed(actor_class.cells.values())]


def stored_objects(actor_class: "ActorClass", limit: int, after: str) -> list[StoredObject]:
    """Return at most *limit* objects with a file, by id, those behind *after*."""
    wanted = (digits for digits in _ids(actor_class, after) if digits > after)
    return [_stored(actor_class, digits) for digits in islice(wanted, limit)]


def live_object(cell: "Cell") -> LiveObject:
    """Return what there is to tell of an object in memory."""
    events = 0 if cell.instance is None else len(cell.instance.events)
    return LiveObject(cell.id, cell.instance is not None, events, cell.socket_count, cell.last_used)


def _ids(actor_class: "ActorClass", after: str) -> Iterator[str]:
    if not actor_class.directory.is_dir():
        return
    for folder in sorted(actor_class.directory.iterdir()):
        if folder.name >= after[:2]:
            yield from sorted(path.stem for path in folder.glob("*.sqlite"))


def _stored(actor_class: "ActorClass", digits: str) -> StoredObject:
    cell = actor_class.cells.get(digits)
    if cell is not None:
        identity, size = cell.id, cell.file.size()
    else:
        with contextlib.closing(actor_class.outside_file(digits)) as file:
            identity, size = ObjectId(digits, file.metadata("name")), file.size()
    return StoredObject(identity, size, actor_class.alarm_of(digits), cell is not None)
