"""
Room: what may still be stored, by everybody together (the disk).

Doors that store are refused while the disk has less than FREE_SPACE_FLOOR_BYTES left, before
anything of the request is stored; bodies that go on for long look again on their way. The floor is
what signing in and out, reading and deleting still write to. At the edge there is no disk to fill.
"""

from collections.abc import AsyncIterable, AsyncIterator

from worker.env import Env
from worker.errors import StorageFull, StorageUnavailable
from worker.limits import MIB

# A body that goes on looks again after so many bytes.
_LOOK_BYTES = MIB
_FULL = "The disk of this deployment is full: nothing more can be stored."


def has_room(env: Env, coming: int = 0) -> bool:
    """Whether the disk keeps its floor when *coming* bytes more are stored."""
    free = env.tools.free_bytes()
    return free is None or free - coming >= env.settings.free_space_floor_bytes


def require_room(env: Env, coming: int = 0) -> None:
    """Raise `StorageFull` unless there is room for *coming* bytes."""
    if not has_room(env, coming):
        raise StorageFull(_FULL)


def store_failed(env: Env, detail: str) -> StorageFull | StorageUnavailable:
    """Return what is told of a store that failed: to come again soon, or that it is full."""
    if has_room(env):
        return StorageUnavailable(detail)
    return StorageFull(_FULL)


async def while_room(env: Env, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield *chunks*; raises `StorageFull` when the disk fills up meanwhile."""
    unseen = 0
    async for chunk in chunks:
        unseen += len(chunk)
        if unseen >= _LOOK_BYTES:
            unseen = 0
            require_room(env)
        yield chunk
