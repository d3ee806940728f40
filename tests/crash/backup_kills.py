"""
kill -9 while backups are uploaded: `python -m tests.crash.backup_kills --rounds 100`.

A real host in a child process, a client that uploads one version after another, a kill at a random
moment. Then the stores are looked at as the kill left them, the host starts again, and what it
answers must be the last acknowledged blob, or the one that was being acknowledged.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError

from tests.support.backups import BINARY, blob, sweep_later
from tests.support.child_host import ChildHost, child_host
from tests.support.clock import Clock
from tests.support.running_host import ROOT, SECRETS, read
from worker.entry.config import load_config
from worker.entry.host_tools import HostTools
from worker.entry.open_env import open_env
from worker.env import Env

NOTHING = "between two uploads: nothing was reserved"
RESERVED = "reserved; the blob on its way to R2"
STORED = "blob whole in R2; not committed"
COMMITTED = "committed; the client had no answer"
OUTCOMES = (NOTHING, RESERVED, STORED, COMMITTED)
_SLOT = "SELECT version, object_key, pending_key FROM backups"


@dataclass(slots=True)
class Book:
    """What the client knows: the last acknowledged version and blob, and the one it tries."""

    version: int = 0
    acknowledged: bytes = b""
    trying: bytes = b""
    uploads: int = 0


@dataclass(slots=True)
class Kills:
    """What the rounds met: where each kill hit, objects left over, and the waits after a start."""

    where: Counter[str] = field(default_factory=Counter)
    left_over: int = 0
    uploads: int = 0
    objects_after_sweep: int = 0
    longest_wait: float = 0.0

    def table(self) -> str:
        """Return the crash table (Markdown)."""
        rows = ["| the kill hit | times | read afterwards |", "|---|---|---|"]
        for one in OUTCOMES:
            kept = "the new blob" if one == COMMITTED else "the last acknowledged blob"
            rows.append(f"| {one} | {self.where[one]} | {kept}, whole |")
        told = (
            f"{self.where.total()} kills, {self.uploads} acknowledged uploads between them; "
            f"{self.left_over} objects left over, {self.objects_after_sweep} in R2 after "
            f"the sweep; the first upload after a start was accepted after at most "
            f"{self.longest_wait * 1000:.0f} ms."
        )
        return "\n".join([*rows, "", told])


class Killer:
    """One account's uploads against one host that is killed."""

    def __init__(self, child: ChildHost, seed: int) -> None:
        self._child = child
        self._dice = random.Random(seed)
        self._headers: dict[str, str] = {}
        self.book = Book()
        self.kills = Kills()

    async def sign_up(self) -> None:
        """Make the account, and its first backup."""
        url = f"http://127.0.0.1:{self._child.port}/v1/users"
        body = {
            "username": "ada",
            "password": "tangerine velocity 9",
            "audience": "backup",
        }
        async with self._child.session.post(url, json=body) as response:
            answer = await read(response)
        assert answer.status == 201, answer.body
        self._headers = {"Authorization": f"Bearer {answer.json()['token']}", **BINARY}
        assert await self._upload(0.0) is True

    async def round(self) -> str:
        """Upload, kill, look, start again, check; return where the kill hit."""
        drip = self._dice.choice((0.0, 0.0, 0.0, 0.004))
        uploading = asyncio.create_task(self._upload_until_cut(drip))
        await asyncio.sleep(self._dice.uniform(0.002, 0.06))
        await self._child.stop(signal.SIGKILL)
        await uploading
        where = await self._look()
        await self._child.start()
        await self._check(where)
        began = time.monotonic()
        accepted = await self._upload(0.0)
        assert accepted, "the first upload after the start was refused"
        self.kills.longest_wait = max(self.kills.longest_wait, time.monotonic() - began)
        self.kills.where[where] += 1
        return where

    async def finish(self) -> None:
        """Stop the host, sweep as if hours had passed, and count what is left."""
        await self._child.stop(signal.SIGTERM)
        self.kills.uploads = self.book.uploads
        async with stores(self._child.state) as env:
            self.kills.left_over = len((await env.blobs.list()).objects) - 1
            await sweep_later(env)
            self.kills.objects_after_sweep = len((await env.blobs.list()).objects)
            row = await env.db.prepare(_SLOT).first()
            assert row is not None
            found = await env.blobs.get(row["object_key"])
            assert await found.bytes() == self.book.acknowledged  # type: ignore[union-attr]

    async def _upload_until_cut(self, drip: float) -> None:
        with contextlib.suppress(ClientError, OSError):
            while await self._upload(drip):
                pass

    async def _upload(self, drip: float) -> bool:
        book = self.book
        size = self._dice.choice((100, 100, 1000, 60_000, 400_000))
        book.trying = blob(self._dice.randrange(10**9), size)
        match = {"If-Match": str(book.version)} if book.version else {}
        sent = {**self._headers, **match, "Content-Length": str(size)}
        url = f"http://127.0.0.1:{self._child.port}/v1/backup"
        data = _dripping(book.trying, drip)
        async with self._child.session.post(url, data=data, headers=sent) as response:
            answer = await read(response)
        if answer.status not in (200, 201):
            return False
        book.version, book.acknowledged = answer.json()["version"], book.trying
        book.uploads += 1
        return True

    async def _look(self) -> str:
        """Return how far the upload had come, as the stores tell after the kill."""
        async with stores(self._child.state) as env:
            row = await env.db.prepare(_SLOT).first()
            keys = {item.key for item in (await env.blobs.list()).objects}
        assert row is not None
        assert row["object_key"] in keys, "the blob that counts is not in R2"
        if row["version"] > self.book.version:
            return COMMITTED
        if row["pending_key"] is None:
            return NOTHING
        return STORED if row["pending_key"] in keys else RESERVED

    async def _check(self, where: str) -> None:
        url = f"http://127.0.0.1:{self._child.port}/v1/backup"
        async with self._child.session.get(url, headers=self._headers) as response:
            answer = await read(response)
        book = self.book
        if where == COMMITTED:
            book.version, book.acknowledged = book.version + 1, book.trying
        assert answer.status == 200, answer.body
        assert answer.headers["ETag"] == f'"{book.version}"'
        assert answer.body == book.acknowledged, "what is read is not what was acknowledged"


async def _dripping(body: bytes, pause: float) -> AsyncIterator[bytes]:
    step = max(len(body) // 8, 1)
    for start in range(0, len(body), step):
        if pause:
            await asyncio.sleep(pause)
        yield body[start : start + step]


@contextlib.asynccontextmanager
async def stores(state: Path) -> AsyncIterator[Env]:
    """Open the stores of a host that does not run."""
    config = load_config(ROOT / "wrangler_compat.toml")
    variables, tools = {**config.variables, **SECRETS}, HostTools(now=Clock())
    opened = await open_env(config, state, variables, lambda _text: None, tools=tools)
    try:
        yield opened.env
    finally:
        await opened.close()


async def kill_rounds(folder: Path, rounds: int, seed: int = 1) -> Kills:
    """Kill a host over a fresh state in *folder* so many times; raise AssertionError for a loss."""
    async with child_host(folder / "state") as child:
        killer = Killer(child, seed)
        await killer.sign_up()
        for _ in range(rounds):
            await killer.round()
        await killer.finish()
    return killer.kills


def main() -> None:
    """Command line: see the module text."""
    parser = argparse.ArgumentParser(description="Kill a host while backups are uploaded.")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekeep-kills-") as folder:
        kills = asyncio.run(kill_rounds(Path(folder), options.rounds, options.seed))
    print(kills.table())


if __name__ == "__main__":
    main()
