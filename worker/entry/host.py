"""The laptop host: aiohttp around the portable Worker, with its crons, alarms and graceful end."""

import asyncio
import contextlib
import fcntl
import gc
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from worker.app import Worker
from worker.entry.client_address import TrustedProxies
from worker.entry.config import Config, ConfigError
from worker.entry.console.frame import Console
from worker.entry.console.guard import is_loopback
from worker.entry.console.log_tail import LogTail
from worker.entry.cron_record import RecordedCrons
from worker.entry.crons import CronClock
from worker.entry.host_http import HostRequest, Sender
from worker.entry.host_runner import HostRunner
from worker.entry.host_tools import write_log
from worker.entry.open_env import Opened, open_env
from worker.env import Env
from worker.route_table import Resource, Route
from worker.routes import ROUTES
from worker.settings import Settings
from worker.wire.safe_headers import safe_headers

if TYPE_CHECKING:
    # It brings the X.509 parts of cryptography, which a start without TLS need not pay for.
    from worker.entry.tls import Tls

# How long requests in flight may go on after a stop was asked for.
_GRACE_SECONDS = 10
_CRON_DOOR = "/cdn-cgi/handler/scheduled"

AiohttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a host answers, and with which certificate (None: plain HTTP)."""

    host: str
    port: int
    tls: "Tls | None" = None

    @property
    def url(self) -> str:
        """The address for people."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{_url_host(self.host)}:{self.port}"

    @property
    def strict(self) -> bool:
        """
        Whether browsers may be told to use HTTPS alone.

        Not for this machine: all ports of localhost would be held to it, other programs' as well.
        """
        return self.tls is not None and not self.tls.development and not is_loopback(self.host)


def serve(
    config: Config,
    state: Path,
    variables: Mapping[str, str],
    *,
    host: str,
    port: int,
    tls: "Tls | None" = None,
    routes: Iterable[Route] = ROUTES,
) -> int:
    """
    Run until SIGINT or SIGTERM; returns the exit code.

    Raises `ConfigError` or `SettingError` with a sentence when the start is not possible.
    """
    listen = Listen(host, port, tls)
    if is_loopback(host) and variables.get("ENVIRONMENT") != "production":
        variables = {"PUBLIC_URL": listen.url, **variables}
    with _only_host_of(state, listen):
        runner = asyncio.run
        with contextlib.suppress(ImportError):
            import uvloop

            runner = uvloop.run
        runner(_serve(config, state, variables, listen, Worker(routes)))
    return 0


async def _serve(
    config: Config, state: Path, variables: Mapping[str, str], listen: Listen, worker: Worker
) -> None:
    tail = LogTail(write_log)
    opened = await open_env(config, state, variables, tail.write)
    await worker.begin(opened.env)
    console = Console(opened, worker, tail, variables, listen.host)
    app = make_app(worker, opened.env, console, tls=listen.strict)
    runner = HostRunner(app, opened.env, shutdown_timeout=_GRACE_SECONDS)
    try:
        await runner.setup()
        await start_site(runner, listen)
        for warning in warnings(opened.env.settings, listen):
            _say(f"warning: {warning}")
        await _run_until_stopped(console.crons, opened, listen.url)
        # No new callers; then sockets, so that the wait below is for plain requests only.
        for site in list(runner.sites):
            await site.stop()
        await opened.actors.close()
    finally:
        await runner.cleanup()
        await opened.close()


async def start_site(runner: web.AppRunner, listen: Listen) -> None:
    """Begin to answer; raises `ConfigError` when the address cannot be had."""
    context = listen.tls.context if listen.tls else None
    try:
        await web.TCPSite(
            runner, listen.host, listen.port, backlog=1024, ssl_context=context
        ).start()
    except OSError as error:
        place = f"{listen.host}:{listen.port}"
        raise ConfigError(f"Cannot listen on {place}: {error.strerror}.") from None


def warnings(settings: Settings, listen: Listen) -> Iterator[str]:
    """Tell what is dangerous or missing in how this host was started."""
    if settings.production and settings.smtp_url is None:
        yield "SMTP_URL is not set: no mail goes out, so nobody can sign in by e-mail."
    if listen.tls is not None or settings.trusted_proxies or is_loopback(listen.host):
        return
    if settings.production:
        yield (
            f"passwords and tokens cross the network unencrypted: {listen.url} is plain HTTP. "
            "Give --tls-cert and --tls-key, or set TRUSTED_PROXIES to the proxy that does TLS."
        )
    else:
        yield f"{listen.url} can be reached from other machines, unencrypted (see --tls)."


async def _run_until_stopped(runs: RecordedCrons, opened: Opened, url: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await opened.actors.start()
    crons = asyncio.create_task(CronClock(opened.config.crons).run(runs, opened.env))
    # What start-up made lives for ever; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    # Lanes and checkpoints wait for Python's lock; with its 5 ms a busy loop starves them.
    sys.setswitchinterval(0.001)
    for name in opened.migrated:
        _say(f"migration {name} applied")
    _say(f"Edgekeep is ready at {url}  (Ctrl-C stops it)")
    await stop.wait()
    _say("stopping …")
    crons.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await crons


def _say(line: str) -> None:
    """Tell the developer; stdout belongs to the log."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def make_app(
    worker: Worker, env: Env, console: Console | None = None, *, tls: bool = False
) -> web.Application:
    """
    Turn the route table into aiohttp routes; every path ends in the same portable Worker.

    But for what only a host has, and only in development: the *console* and the door of crons.
    *tls*: it is served over TLS under a real name.
    """
    app = web.Application()
    settings = env.settings
    sender = Sender(safe_headers(settings, tls=tls))
    app.on_response_prepare.append(sender.protect)
    doors = _Doors(worker, env, sender, TrustedProxies.of(settings.trusted_proxies))
    if console is not None and not env.settings.production:
        console.routes(app)
    for resource in worker.table.resources.values():
        app.router.add_route("*", resource.path, doors.door(resource))
    if not env.settings.production:
        runs = console.crons if console is not None else RecordedCrons(worker)
        app.router.add_route("GET", _CRON_DOOR, _cron_door(runs, env))
    # Every other path, also one with a line break in it, which `.` would leave to aiohttp.
    app.router.add_route("*", r"/{path:[\s\S]*}", doors.door(None))
    return app


@dataclass(frozen=True, slots=True)
class _Doors:
    """What every door needs."""

    worker: Worker
    env: Env
    sender: Sender
    proxies: TrustedProxies | None

    def door(self, resource: Resource | None) -> AiohttpHandler:
        """Return the handler of one path, or of all that have none."""
        path = resource.path if resource is not None else ""
        handle, env, send, proxies = self.worker.handle, self.env, self.sender.send, self.proxies

        async def door(raw: web.Request) -> web.StreamResponse:
            request = HostRequest(raw, proxies)
            # aiohttp matches decoded paths; only the exact spelling counts here, as at the edge.
            matched = resource if request.path == path else None
            response = await handle(request, env, matched)
            # A WebSocket lives on in `send`, for days; what it was asked with need not.
            del request
            return await send(raw, response)

        return door


def _cron_door(runs: RecordedCrons, env: Env) -> AiohttpHandler:
    """Cloudflare's local trigger (bindings.md E): ?cron=… runs one schedule now."""

    async def door(raw: web.Request) -> web.StreamResponse:
        if not is_loopback(raw.remote) or raw.headers.get("Sec-Fetch-Site", "none") != "none":
            return web.Response(status=403, text="local only\n")
        done = await runs.scheduled(raw.query.get("cron", ""), env)
        return web.Response(status=200 if done else 500, text="ok\n" if done else "failed\n")

    return door


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _only_host_of(state: Path, listen: Listen) -> Iterator[None]:
    """
    Hold STATE/host.lock while serving: actors live in one process only.

    host.json tells the CLI where the host answers, and by which certificate it knows it.
    """
    # Readable by nobody else: people's data lies here.
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / "host.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"Another Edgekeep host already serves the state in {state}. "
                "Stop it, or choose another --state."
            ) from None
        about = state / "host.json"
        told = {"pid": os.getpid(), "url": listen.url}
        if listen.tls is not None:
            told["fingerprint"] = listen.tls.fingerprint
        about.write_text(json.dumps(told) + "\n")
        try:
            yield
        finally:
            about.unlink(missing_ok=True)
