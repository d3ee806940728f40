"""Waiting for what must come: as long as a busy machine may take, and no longer than it takes."""

import asyncio
from collections.abc import Awaitable, Callable

# What has not come after so many seconds does not come. Only a failure waits that long.
PATIENCE = 60


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return once *condition* holds; it is asked every few milliseconds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.005)
