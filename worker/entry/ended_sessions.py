"""
Closes the sockets of sessions that another process ended: `edgekeep account`, a second host.

What this process ends it closes at once (`worker.identity.sessions`). At the edge nothing watches:
there an inbox asks before anything passes.
"""

import asyncio

from worker.env import Env
from worker.identity.access import RELOAD_SECONDS
from worker.identity.sessions import close_sockets, ended_since

# A session ends a moment before that can be read, by a clock that may differ from ours.
_LOOK_BACK_MS = 60_000


async def close_ended(env: Env, every: float = RELOAD_SECONDS) -> None:
    """Look *every* so many seconds, for ever."""
    told: set[str] = set()
    while True:
        await asyncio.sleep(every)
        try:
            ended = await ended_since(env, env.now_ms() - _LOOK_BACK_MS)
            await close_sockets(env, [row for row in ended if row["id"] not in told])
            told = {row["id"] for row in ended}
        except Exception as error:
            env.log.error("sockets_not_closed", error)
