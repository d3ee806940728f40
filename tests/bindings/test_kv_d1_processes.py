"""Several processes on one file: the console while the server runs."""

import asyncio
import sys
from pathlib import Path

from d1_schema.embedded import open_database
from kv.embedded import open_namespace

ROUNDS = 150

CHILD = """
import asyncio, sys, time
from pathlib import Path
from d1_schema.embedded import open_database
from kv.embedded import open_namespace

async def main(folder, name, rounds):
    db = await open_database(folder / "d1.sqlite")
    kv = await open_namespace(folder / "kv.sqlite", time.time)
    for i in range(rounds):
        await db.prepare("UPDATE c SET n = n + 1").run()
        await kv.put(f"{name}/{i:04d}", str(i))
    await kv.close()
    await db.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


async def test_processes_write_the_same_files_without_loss(tmp_path: Path) -> None:
    """Two processes and this one count together, and every key of each is there."""
    db = await open_database(tmp_path / "d1.sqlite")
    kv = await open_namespace(tmp_path / "kv.sqlite", lambda: 1_800_000_000.0)
    await db.exec("CREATE TABLE c (n INTEGER)\nINSERT INTO c VALUES (0)")
    children = [
        await asyncio.create_subprocess_exec(
            *[sys.executable, "-c", CHILD, str(tmp_path), name, str(ROUNDS)],
            stderr=asyncio.subprocess.PIPE,
        )
        for name in ("one", "two")
    ]

    rounds = 0
    waiting = asyncio.gather(*(child.communicate() for child in children))
    while not waiting.done() or rounds < ROUNDS:
        await db.prepare("UPDATE c SET n = n + 1").run()
        await kv.put(f"own/{rounds:04d}", "")
        rounds += 1
        await asyncio.sleep(0.002)

    assert [error for _, error in await waiting] == [b"", b""]
    assert await db.prepare("SELECT n FROM c").first("n") == rounds + 2 * ROUNDS
    for name in ("one", "two"):
        assert len((await kv.list(prefix=f"{name}/")).keys) == ROUNDS
    assert await db.prepare("PRAGMA quick_check").raw() == [["ok"]]
    await kv.close()
    await db.close()


async def test_one_process_sees_what_another_wrote(tmp_path: Path) -> None:
    """Nothing is cached beyond what SQLite itself keeps fresh, the schema included."""
    mine = await open_database(tmp_path / "d1.sqlite")
    other = await open_database(tmp_path / "d1.sqlite")
    read = mine.prepare("SELECT * FROM t")

    await other.exec("CREATE TABLE t (a)\nINSERT INTO t VALUES (1)")
    assert (await read.all()).results == [{"a": 1}]

    await other.exec("ALTER TABLE t ADD COLUMN b DEFAULT 2")
    assert (await read.all()).results == [{"a": 1, "b": 2}]

    await mine.close()
    await other.close()
