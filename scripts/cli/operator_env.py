"""
What operators' verbs need of an environment: the database, clock, dice and crypto.

SQLite arbitrates between processes, so they work beside a running host.
"""

import contextlib
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from scripts.cli.outcome import PARTLY, REFUSED, CliError
from scripts.cli.place import Place

if TYPE_CHECKING:
    from worker.env import Env

_T = TypeVar("_T")


@contextlib.asynccontextmanager
async def operator_env(place: Place) -> AsyncIterator["Env"]:
    """
    Yield an environment with the database of *place*, migrated.

    Its other bindings are not there: two processes cannot both have actors.
    """
    from d1_schema.contract import D1Database
    from worker.entry.host_tools import HostTools
    from worker.entry.open_env import bag, bind_stores
    from worker.entry.state_folder import make_private
    from worker.entry.stores import Stores

    make_private(place.state)
    settings = place.settings
    tools = HostTools()
    tools.settle(settings, place.state)
    stores = Stores(place.config, place.state, place.variables, tools.now, tools.random_bytes)
    env = bag(place.config.name, "cli", settings, tools, _to_stderr)
    async with contextlib.AsyncExitStack() as exits:
        exits.callback(tools.crypto.close)
        exits.callback(env.log.flush)
        await bind_stores(env, stores, exits, only=D1Database)
        exits.push_async_callback(tools.close)
        yield env


async def account_of(env: "Env", typed: str) -> str:
    """Return the account that *typed* names, a disabled one too; raises `CliError`."""
    from worker.accounts import store
    from worker.identity.usernames import fold

    if await store.account(env, typed.lower()) is not None:
        return typed.lower()
    try:
        found = await store.find(env, fold(typed))
    except ValueError:
        found = None
    if found is None:
        raise CliError("There is no account with this name or id.", PARTLY)
    return found.account_id


def run(options: Namespace, work: "Callable[[Env], Awaitable[_T]]") -> _T:
    """Run *work* in the place that *options* name; what it refuses becomes a `CliError`."""
    import asyncio

    from d1_schema.contract import D1Error
    from worker.errors import Problem

    async def at_work() -> _T:
        async with operator_env(Place.of(options)) as env:
            return await work(env)

    try:
        return asyncio.run(at_work())
    except Problem as problem:
        reasons = [str(error["message"]) for error in problem.errors]
        raise CliError(" ".join([f"{problem.title}.", *reasons]), REFUSED) from None
    except D1Error as error:
        raise CliError(f"The database refused: {error}", REFUSED) from None


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of an account with its times as text."""
    times = ("created_at", "last_active_at", "disabled_at")
    return row | {name: row[name] and iso(row[name]) for name in times}


def iso(moment_ms: int) -> str:
    """Write a moment in milliseconds as text."""
    from worker.codec import iso_time

    return iso_time(moment_ms / 1000)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)
