"""The laptop host: aiohttp around the portable Worker, with its crons, alarms and graceful end."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from d1_schema.sqlite import engine
from worker.app import Worker
from worker.codec import b64url
from worker.entry.config import Config, ConfigError
from worker.entry.console.frame import ROOT, Console
from worker.entry.console.log_tail import LogTail
from worker.entry.cron_record import RecordedCrons
from worker.entry.crons import CronClock
from worker.entry.ended_sessions import close_ended
from worker.entry.host_connections import raise_file_limit
from worker.entry.host_record import InUse, recorded
from worker.entry.host_server import serving
from worker.entry.host_tools import write_log
from worker.entry.open_env import Opened, open_env
from worker.entry.own_names import OwnNames, is_loopback
from worker.entry.run_key import RunKey
from worker.route_table import Route
from worker.routes import ROUTES
from worker.settings import Settings

if TYPE_CHECKING:
    # It brings the X.509 parts of cryptography, which a start without TLS need not pay for.
    from worker.entry.tls import Tls


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
    def about(self) -> dict[str, str]:
        """What programs of this machine are told."""
        known = {} if self.tls is None else {"fingerprint": self.tls.fingerprint}
        return {"url": self.url, **known}

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
    raise_file_limit()
    runner = asyncio.run
    with contextlib.suppress(ImportError):
        import uvloop

        runner = uvloop.run
    key = b64url(os.urandom(32))
    try:
        with recorded(state, listen.about, key):
            runner(_serve(config, state, variables, listen, RunKey(key, ROOT), Worker(routes)))
    except InUse:
        raise ConfigError(
            f"Another Edgekeep host already serves the state in {state}. "
            "Stop it, or choose another --state."
        ) from None
    return 0


async def _serve(
    config: Config,
    state: Path,
    variables: Mapping[str, str],
    listen: Listen,
    key: RunKey,
    worker: Worker,
) -> None:
    tail = LogTail(write_log)
    opened = await open_env(config, state, variables, tail.write)
    await worker.begin(opened.env)
    console = Console(opened, worker, tail, variables, key, listen.host)
    names = OwnNames(
        listen.host, [opened.env.settings.public_url], opened.env.settings.allowed_hosts
    )
    try:
        async with serving(worker, opened.env, console, names, tls=listen.strict) as runner:
            await start_site(runner, listen)
            unserved = not_served(config, worker)
            for warning in (*warnings(opened.env.settings, listen), *unserved):
                _say(f"warning: {warning}")
            link = "" if opened.env.settings.production else key.link(listen.url)
            await _run_until_stopped(console.crons, opened, listen.url, link)
            # No new callers; then sockets, so that the wait is for plain requests only.
            for site in list(runner.sites):
                await site.stop()
            await opened.actors.close()
    finally:
        await opened.close()


async def start_site(runner: web.BaseRunner, listen: Listen) -> None:
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


def not_served(config: Config, worker: Worker) -> Iterator[str]:
    """Tell what the configuration lists that works at Cloudflare and not on this host."""
    for written in config.unserved:
        yield f"{config.path.name}: {written} is not served here, only at Cloudflare."
    for cron in config.crons:
        if cron not in worker.schedules:
            yield f"{config.path.name}: triggers.crons: {cron!r} has no job (worker/registry.py)."


async def _run_until_stopped(runs: RecordedCrons, opened: Opened, url: str, link: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await opened.actors.start()
    crons = asyncio.create_task(CronClock(opened.config.crons).run(runs, opened.env))
    sessions = asyncio.create_task(close_ended(opened.env))
    # What start-up made lives for ever; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    # Lanes and checkpoints wait for Python's lock; with its 5 ms a busy loop starves them.
    sys.setswitchinterval(0.001)
    for name in opened.migrated:
        _say(f"migration {name} applied")
    _say(f"D1 and objects run on SQLite {engine.VERSION}")
    if link:
        _say(f"its console, in a browser of this machine: {link}")
    _say(f"Edgekeep is ready at {url}  (Ctrl-C stops it)")
    await stop.wait()
    _say("stopping …")
    for work in (crons, sessions):
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def _say(line: str) -> None:
    """Tell the developer; stdout belongs to the log."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
