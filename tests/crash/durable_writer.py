"""
The child of test_durable_kill.py: writes to many objects and says what was acknowledged.

Run as `python -m tests.crash.durable_writer <directory> <objects>`; prints one line
"<object> <number>" after each acknowledged call, until it is killed.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from durable.contract import DurableObject
from durable.embedded import Actors


class Ledger(DurableObject):
    """Counts in a value, in a table and in a second value that must agree with the first."""

    async def add(self) -> int:
        storage = self.ctx.storage
        number: int = (await storage.get("n") or 0) + 1
        await storage.put("n", number)
        storage.sql.exec("CREATE TABLE IF NOT EXISTS t(n INTEGER)")
        storage.sql.exec("INSERT INTO t VALUES (?)", number)
        await storage.put("twin", number)
        if number == 1:
            await storage.set_alarm(4_000_000_000_000)
        return number

    async def found(self) -> list[Any]:
        storage = self.ctx.storage
        rows = storage.sql.exec("SELECT count(*) c FROM t").one()["c"]
        return [
            *(await storage.get("n"), await storage.get("twin"), rows),
            *(await storage.get_alarm(), self.ctx.id.name),
        ]


async def _write(directory: Path, objects: int) -> None:
    actors = await Actors.open(directory, clock=time.time, random_bytes=os.urandom)
    ledgers = actors.bind("Ledger", Ledger, None)
    await actors.start()

    async def keep_adding(name: str) -> None:
        while True:
            number = await ledgers.get_by_name(name).call("add")
            # One write per line straight to the pipe: it survives the kill.
            os.write(1, f"{name} {number}\n".encode())

    await asyncio.gather(*(keep_adding(f"o{n}") for n in range(objects)))


if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1]), int(sys.argv[2])))
