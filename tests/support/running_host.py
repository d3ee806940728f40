"""The real host in this process: aiohttp on a free port over embedded stores."""

import asyncio
import contextlib
import gc
import io
import json
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, web

from tests.support.clock import Clock
from worker.app import Worker
from worker.codec import b64url
from worker.entry.config import load_config
from worker.entry.console.frame import ROOT as CONSOLE
from worker.entry.console.frame import Console
from worker.entry.console.log_tail import LogTail
from worker.entry.host_server import serving
from worker.entry.host_tools import HostTools
from worker.entry.open_env import Opened, open_env
from worker.entry.own_names import OwnNames
from worker.entry.run_key import RunKey
from worker.env import Env
from worker.identity.tokens import issue
from worker.route_table import Route
from worker.routes import ROUTES

ROOT = Path(__file__).parents[2]
SECRETS = {
    "SIGNING_KEYS": f"new:{b64url(b'n' * 32)},old:{b64url(b'o' * 32)}",
    "CURSOR_KEY": b64url(b"c" * 32),
    "SESSION_KEY": b64url(b"s" * 32),
    "EMAIL_LOOKUP_KEYS": f"e1:{b64url(b'e' * 32)}",
    "PSEUDONYM_KEY": b64url(b"p" * 32),
}
# The key of the console of every host here.
KEY = b64url(b"k" * 32)
NDJSON = {"Content-Type": "application/x-ndjson"}
# A state right after the first start: each host gets a copy, which costs a third of migrating anew.
_MIGRATED = tempfile.TemporaryDirectory(prefix="edgekeep-migrated-")
# What requests in flight are granted when a host stops.
GRACE = 10
# One turn of the loop may cost this much processor time. (Not the clock on the wall: a machine
# that is busy with other things must not make a test fail.)
TURN_SECONDS = 0.25


# What each host is asked before it closes.
AT_END: list[Callable[["RunningHost"], Awaitable[None]]] = []


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        """Return the body as NDJSON."""
        return [json.loads(one) for one in self.body.split(b"\n") if one]


@dataclass(slots=True)
class RunningHost:
    """A host that answers at *url*; `log` holds the lines that it wrote."""

    url: str
    port: int
    opened: Opened
    session: ClientSession
    log: list[str]
    clock: Clock = field(default_factory=Clock)
    slowest_turn: float = 0.0

    @property
    def env(self) -> Env:
        """The bag that the handlers see."""
        return self.opened.env

    def token(self, *scopes: str, subject: str = "tester") -> str:
        """Return an access token."""
        keys = self.env.settings.signing_keys
        return issue(keys, subject, list(scopes), self.env.tools.now(), 15)

    def bearer(self, *scopes: str, subject: str = "tester") -> dict[str, str]:
        """Return the header that carries such a token."""
        return {"Authorization": f"Bearer {self.token(*scopes, subject=subject)}"}

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request and read the answer to its end; it is not decompressed."""
        if isinstance(options.get("data"), bytes):
            # aiohttp sends a stream piece by piece and bytes at once.
            options["data"] = io.BytesIO(options["data"])
        if path.startswith(CONSOLE):
            options["headers"] = self.with_key(options.get("headers") or {})
        async with self.session.request(method, self.url + path, **options) as response:
            return await read(response)

    def with_key(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return *headers* as a browser sends them that has opened the console's link."""
        named = headers.get("Host", f"127.0.0.1:{self.port}")
        port = found[1] if (found := re.search(r":([0-9]+)$", named)) else ""
        cookies = [f"edgekeep_key_{port}={KEY}", headers.get("Cookie", "")]
        return {**headers, "Cookie": "; ".join(filter(None, cookies))}

    async def get(self, path: str, **options: Any) -> Answer:
        """GET *path*."""
        return await self.ask("GET", path, **options)

    async def send_profiles(
        self,
        body: Any,
        query: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        subject: str = "tester",
    ) -> Answer:
        """POST *body* to the import door with a token that may."""
        sent = {**NDJSON, **self.bearer("profiles:import", subject=subject), **(headers or {})}
        return await self.ask("POST", "/api/profiles/import" + query, data=body, headers=sent)

    async def report(self, import_id: str, subject: str = "tester") -> dict[str, Any]:
        """Return the report of an import that there is."""
        asker = self.bearer("profiles:import", subject=subject)
        answer = await self.get(f"/api/profiles/import/report?id={import_id}", headers=asker)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json()
        return found

    async def stored(self) -> list[dict[str, Any]]:
        """Return every stored profile, as the export door tells."""
        answer = await self.get(
            "/api/profiles/export", headers=self.bearer("profiles:export", "profiles:read")
        )
        assert answer.status == 200
        return answer.lines()

    async def total(self) -> int:
        """Return the number of profiles, as the count door tells."""
        return int((await self.get("/api/profiles/count")).json()["total"])

    def watch(self, import_id: str, subject: str = "tester") -> Any:
        """Open the progress socket of an import (a context manager)."""
        query = f"id={import_id}&token={self.token('profiles:import', subject=subject)}"
        return self.session.ws_connect(f"{self.url}/api/profiles/import/progress?{query}")

    def requests_logged(self) -> list[dict[str, Any]]:
        """Return the request lines of the log."""
        return [event for event in self.events() if event["event"] == "request"]

    def events(self) -> list[dict[str, Any]]:
        """Return every line of the log."""
        self.env.log.flush()
        text = "".join(self.log)
        assert text.endswith("\n") or not text
        return [json.loads(one) for one in text.split("\n")[:-1]]


async def read(response: ClientResponse) -> Answer:
    """Read *response* to its end."""
    return Answer(response.status, response.headers, await response.read())


async def messages(socket: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Return what *socket* says until it is closed."""
    return [json.loads(message.data) async for message in socket]


async def lay_out(state: Path) -> None:
    """Make *state*, unless it is there, what the first start of a host would make of it."""
    migrated = Path(_MIGRATED.name) / "state"
    if not migrated.exists():
        config = load_config(ROOT / "wrangler_compat.toml")
        making = migrated.with_name("making")
        opened = await open_env(config, making, {**config.variables, **SECRETS}, lambda _line: None)
        await opened.close()
        making.rename(migrated)
    if not state.exists():
        shutil.copytree(migrated, state)


@contextlib.asynccontextmanager
async def running_host(
    state: Path,
    routes: Iterable[Route] = ROUTES,
    *,
    tools: HostTools | None = None,
    **variables: str,
) -> AsyncIterator[RunningHost]:
    """
    Run a host over *state*; on leaving, fail when it held the loop for too long.

    Without *tools* it goes by a `Clock` that its tests move.
    """
    config = load_config(ROOT / "wrangler_compat.toml")
    log: list[str] = []
    merged = {**config.variables, **SECRETS, **variables}
    tail = LogTail(log.append)
    await lay_out(state)
    clock = Clock()
    tools = tools or HostTools(now=clock)
    opened = await open_env(config, state, merged, tail.write, tools=tools)
    worker = Worker(routes)
    console = Console(opened, worker, tail, merged, RunKey(KEY, CONSOLE))
    settings = opened.env.settings
    names = OwnNames("127.0.0.1", [settings.public_url], settings.allowed_hosts)
    async with contextlib.AsyncExitStack() as exits:
        # What thousands of tests have left behind is not the host's to collect in a turn.
        gc.freeze()
        exits.callback(gc.unfreeze)
        exits.push_async_callback(opened.close)
        runner = await exits.enter_async_context(
            serving(worker, opened.env, console, names, grace=GRACE)
        )
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await opened.actors.start()
        port = runner.addresses[0][1]
        session = await exits.enter_async_context(
            ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"})
        )
        host = RunningHost(f"http://127.0.0.1:{port}", port, opened, session, log, clock)
        guard = asyncio.create_task(_watch_turns(host))
        yield host
        guard.cancel()
        for ask in AT_END:
            await ask(host)
        await opened.actors.close()
    assert host.slowest_turn < TURN_SECONDS, f"the loop stood for {host.slowest_turn:.3f} s"


async def _watch_turns(host: RunningHost) -> None:
    """Note the most processor time that this thread used between two turns of this task."""
    while True:
        before = time.thread_time()
        await asyncio.sleep(0.005)
        host.slowest_turn = max(host.slowest_turn, time.thread_time() - before)
