"""Doors and jobs of the deployment itself: is it alive, is it ready, nightly upkeep."""

from collections.abc import Awaitable, Callable

from worker.env import Env
from worker.errors import StorageUnavailable
from worker.identity.caller import Caller
from worker.quotas import require_room
from worker.web import Request, Response

_NO_STORE = {"Cache-Control": "no-store"}


async def healthz(request: Request, caller: Caller, env: Env) -> Response:
    """Answer as long as the process does."""
    return Response.json({"ok": True}, headers=_NO_STORE)


async def readyz(request: Request, caller: Caller, env: Env) -> Response:
    """Answer when the stores do, and have room: 503 or 507 otherwise."""
    try:
        await env.db.prepare("SELECT 1 AS one").first("one")
        await env.profiles_kv.get("readyz")
    except Exception as error:
        env.log.error("not_ready", error)
        raise StorageUnavailable("A store does not answer.") from None
    require_room(env)
    return Response.json({"ok": True}, headers=_NO_STORE)


async def tidy_database(env: Env) -> None:
    """Let SQLite refresh the statistics of its planner (sqlite.org, pragma optimize)."""
    await env.db.prepare("PRAGMA optimize").run()


def in_turn(*jobs: Callable[[Env], Awaitable[None]]) -> Callable[[Env], Awaitable[None]]:
    """
    Return a job that does *jobs*, all of them even if one fails; it then fails as the last.

    Its docstring, which the console shows, is made of the first lines of theirs.
    """

    async def run(env: Env) -> None:
        failure: Exception | None = None
        for job in jobs:
            try:
                await job(env)
            except Exception as error:
                env.log.error("job_failed", error)
                failure = error
        if failure is not None:
            raise failure

    run.__doc__ = " ".join((job.__doc__ or job.__name__).strip().splitlines()[0] for job in jobs)
    return run
