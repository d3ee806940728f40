"""What a developer may want to see of the local runtime: who lives, and who has a file."""

import contextlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from durable.contract import ObjectId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable.actor_class import ActorClass
    from durable.cell import Cell


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


def _ids(actor_class: "ActorClass", after: str) -> "Iterator[str]":
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
