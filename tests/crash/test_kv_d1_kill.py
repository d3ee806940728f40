"""kill -9: what a store has acknowledged is there afterwards, and nothing is torn."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from d1_schema.embedded import open_database
from kv.embedded import open_namespace

CHILD = """
import asyncio, sys, time
from pathlib import Path
from d1_schema.embedded import open_database
from kv.contract import KVPut
from kv.embedded import open_namespace

async def one(db, kv, worker):
    insert = db.prepare("INSERT INTO pair (worker, i) VALUES (?, ?)")
    for i in range(1_000_000):
        await kv.put(f"put/{worker}/{i}", "v" * 500)
        await db.batch([insert.bind(worker, i), insert.bind(worker, -i - 1)])
        print(worker, i, flush=True)

async def many(kv):
    for i in range(1_000_000):
        await kv.put_many(KVPut(f"many/{i}/{j}", "v" * 1000) for j in range(300))
        print("many", i, flush=True)

async def main(folder):
    db = await open_database(folder / "d1.sqlite")
    kv = await open_namespace(folder / "kv.sqlite", time.time)
    await db.exec("CREATE TABLE IF NOT EXISTS pair (worker, i INTEGER, UNIQUE (worker, i))")
    await asyncio.gather(many(kv), *(one(db, kv, worker) for worker in range(8)))

asyncio.run(main(Path(sys.argv[1])))
"""


async def acknowledged_until_killed(folder: Path, lines: int) -> list[str]:
    """Run the child, kill it after so many acknowledgements; return all it gave."""
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", CHILD, str(folder)], stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    said = [await child.stdout.readline() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    said += (await child.stdout.read()).splitlines(keepends=True)
    assert await child.wait() == -signal.SIGKILL
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


@pytest.mark.parametrize("lines", [1, 400, 2500])
async def test_every_acknowledged_write_survives(tmp_path: Path, lines: int) -> None:
    """Puts, batches (both rows or none) and bulk entries, killed in the middle of many."""
    said = await acknowledged_until_killed(tmp_path, lines)

    db = await open_database(tmp_path / "d1.sqlite")
    kv = await open_namespace(tmp_path / "kv.sqlite", lambda: 1_800_000_000.0)
    rows = {(int(w), i) for w, i in await db.prepare("SELECT worker, i FROM pair").raw()}
    assert len(said) >= lines
    for line in said:
        first, number = line.split()
        if first == "many":
            keys = [f"many/{number}/{j}" for j in range(0, 300, 3)]
            assert None not in (await kv.get_many(keys)).values()
        else:
            assert await kv.get(f"put/{first}/{number}") == "v" * 500
            assert (int(first), int(number)) in rows
    assert {(w, -i - 1) for w, i in rows} == rows
    assert await db.prepare("PRAGMA quick_check").raw() == [["ok"]]
    await kv.close()
    await db.close()
