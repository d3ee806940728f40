"""
Who holds data of an account, so that it can be exported and erased (facts/seeds.md §3.7).

`worker.registry.DATA_HOLDERS` names every holder; each looks after its own stores, and says which
they are: a test finds every table, key prefix and actor class that no holder owns.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from worker.env import Env

Place = Literal["table", "kv", "r2", "actor"]
Fate = Literal["deleted", "pseudonymised", "kept"]


@dataclass(frozen=True, slots=True)
class Owned:
    """
    One kind of data, and what becomes of it when its account is erased.

    *name*: a table, "BINDING/prefix" of keys in KV, a prefix of keys in R2, a class of actors.
    *owner*: the table's column that has the account's id, "" where there is none. *why* says so
    for what is not simply deleted.
    """

    place: Place
    name: str
    owner: str = ""
    fate: Fate = "deleted"
    why: str = ""


class Exported(NamedTuple):
    """
    One thing that is held: a JSON value, or bytes in chunks, to be read before the next is asked.

    *name* is a path within what the holder tells. Values of one name are rows of one list.
    """

    name: str
    value: Any


class DataHolder(Protocol):
    """One slice's data of people."""

    @property
    def owns(self) -> tuple[Owned, ...]:
        """All that the holder answers for."""

    def export(self, env: "Env", account_id: str) -> AsyncIterator[Exported]:
        """Yield what is held of the account, a little at a time, however much it is."""

    async def erase(self, env: "Env", account_id: str) -> None:
        """
        Remove what is held of the account, everywhere.

        May be called again, after a failure in the middle or when nothing is left; raises when
        something could not be removed.
        """


class Nobodys:
    """The holder of what belongs to no account: nothing of it is exported or erased."""

    def __init__(self, *owns: Owned) -> None:
        self.owns = owns

    async def export(self, env: "Env", account_id: str) -> AsyncIterator[Exported]:
        """Yield nothing."""
        nothing: tuple[Exported, ...] = ()
        for one in nothing:
            yield one

    async def erase(self, env: "Env", account_id: str) -> None:
        """Remove nothing."""


async def export(env: "Env", account_id: str) -> AsyncIterator[tuple[str, Exported]]:
    """Yield everything that is held of an account, with the name of its holder."""
    for name, holder in env.holders.items():
        async for one in holder.export(env, account_id):
            yield name, one


async def erase(env: "Env", account_id: str) -> None:
    """
    Remove an account and everything that is held of it, holder by holder.

    Nothing notes how far it came: called again, it finds what is left.
    """
    for holder in env.holders.values():
        await holder.erase(env, account_id)
