"""
Who holds data of an account, so that it can be exported and erased (facts/seeds.md §3.7).

`worker.registry.DATA_HOLDERS` names every slice that does; each looks after its own stores.
"""

from typing import Any, Protocol

from worker.env import Env


class DataHolder(Protocol):
    """One slice's data of people."""

    async def export(self, env: Env, account_id: str) -> Any:
        """
        Return what is held of the account as a JSON value; None: nothing.

        What is large is named with the path by which its owner reads it.
        """

    async def erase(self, env: Env, account_id: str) -> None:
        """
        Remove what is held of the account, everywhere.

        May be called again, after a failure in the middle or when nothing is left; raises when
        something could not be removed.
        """
