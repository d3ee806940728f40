"""A real `edgekeep dev` in a process of its own, to be killed and started again."""

import asyncio
import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.support.ports import free_port
from tests.support.running_host import ROOT, SECRETS, Answer, read
from tests.support.waiting import PATIENCE
from worker.identity.tokens import issue
from worker.settings import Settings


@dataclass(slots=True)
class ChildHost:
    """A host at *port* over *state*; its log lines go to a file."""

    state: Path
    port: int
    session: ClientSession
    variables: dict[str, str]
    files: int | None = None
    process: asyncio.subprocess.Process | None = None

    @property
    def log_file(self) -> Path:
        """Where the lines on stdout are."""
        return self.state.parent / "log.ndjson"

    @property
    def said_file(self) -> Path:
        """Where the words on stderr are."""
        return self.state.parent / "said.txt"

    async def start(self) -> None:
        """Start the process and wait until it is ready."""
        with self.log_file.open("ab") as log, self.said_file.open("ab") as said:
            limit = f'ulimit -n {self.files} && exec "$@"'
            limited = ("sh", "-c", limit, "sh") if self.files else ()
            self.process = await asyncio.create_subprocess_exec(
                *(*limited, sys.executable, "-m", "scripts.cli.main", "dev"),
                *("--port", str(self.port), "--state", str(self.state)),
                cwd=ROOT,
                env={**os.environ, **SECRETS, **self.variables},
                stdout=log,
                stderr=said,
            )
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(OSError):
                    if (await self.get("/healthz")).status == 200:
                        return
                assert self.process.returncode is None, self.said_file.read_text()
                await asyncio.sleep(0.02)

    async def stop(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    def bearer(self, *scopes: str) -> dict[str, str]:
        """Return the header of an access token."""
        keys = Settings.load(SECRETS).signing_keys
        return {"Authorization": f"Bearer {issue(keys, 'tester', list(scopes), time.time(), 15)}"}

    async def get(self, path: str, *scopes: str) -> Answer:
        """GET *path* with a token that holds *scopes*."""
        headers = self.bearer(*scopes) if scopes else {}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.get(url, headers=headers) as response:
            return await read(response)

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        """POST NDJSON to *path* with a token that may import."""
        sent = {
            "Content-Type": "application/x-ndjson",
            **self.bearer("profiles:import"),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        url = f"http://127.0.0.1:{self.port}{path}"
        data = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self.session.post(url, data=data, headers=sent) as response:
            return await read(response)

    async def total(self) -> int:
        """Return the number of profiles."""
        return int((await self.get("/api/profiles/count")).json()["total"])


@contextlib.asynccontextmanager
async def child_host(
    state: Path, *, files: int | None = None, **variables: str
) -> AsyncIterator[ChildHost]:
    """Run a child over *state*, killed on leaving; *files*: how many it may have open."""
    async with ClientSession(headers={"Accept-Encoding": "identity"}) as session:
        child = ChildHost(state, free_port(), session, variables, files)
        await child.start()
        try:
            yield child
        finally:
            if child.process is not None and child.process.returncode is None:
                await child.stop(signal.SIGKILL)
