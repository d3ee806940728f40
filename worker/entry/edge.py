"""
The Workers entry: the portable Worker on Cloudflare.

Where the SDK module `workers` exists (every runtime since 2025) this module exports the class
`Default` and one Durable Object class for each row of `ACTORS`; in the runtime of 2024, which knows
neither, it exports `on_fetch`. Nothing is read, rolled or opened at import: Cloudflare freezes what
import leaves behind (facts/bindings.md F8).
"""

import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from d1_schema.contract import D1Database
from d1_schema.edge import EdgeDatabase
from durable.contract import ObjectNamespace
from durable.edge import Crossing, EdgeNamespace, make_actor_class, unwrapped
from kv.contract import KVNamespace
from kv.edge import EdgeNamespace as EdgeKvNamespace
from r2.contract import R2Bucket
from r2.edge import EdgeBucket
from worker import interop
from worker.app import Worker
from worker.entry.edge_http import (
    KeepAlive,
    request_from_js,
    request_to_js,
    response_from_js,
    response_to_js,
)
from worker.entry.edge_limits import PlatformLimiter
from worker.entry.edge_tools import EdgeTools, console_writer, now, random_bytes
from worker.env import BINDINGS, Env
from worker.errors import InternalError
from worker.identity.access import LONGEST_MINUTES, Access
from worker.limiter.actor import ActorLimiter
from worker.limiter.counting import Counting, ProcessLimiter
from worker.log import Log
from worker.mail.webhook import WebhookMail
from worker.registry import ACTORS, DATA_HOLDERS
from worker.relay.inbox import frames_protobuf as _in_the_snapshot  # noqa: F401  # slow to load later
from worker.routes import WORDS
from worker.setting_kinds import SettingError
from worker.settings import SETTINGS, Settings
from worker.web import refusal
from worker.wire.safe_headers import SAFE_HEADERS, add_safe_headers, safe_headers

_WORKER = Worker()


@dataclass(frozen=True, slots=True)
class Isolate:
    """What is made once in the life of an isolate, in which variables and secrets stay."""

    settings: Settings
    access: Access
    near: Counting

    @classmethod
    def of(cls, js_env: Any) -> "Isolate":
        """Read the variables and secrets in *js_env*; raises `SettingError`."""
        found = {row.name: interop.member(js_env, row.name) for row in SETTINGS}
        given = {name: interop.text(value) for name, value in found.items() if value is not None}
        settings = Settings.load(given)
        return cls(settings, Access(settings.signing_keys, LONGEST_MINUTES), ProcessLimiter(now))


class _Kept:
    """The isolate, from its first event on: at import there are no variables yet."""

    isolate: Isolate | None = None


def isolate_of(js_env: Any) -> Isolate:
    """Return what was made once of *js_env*; raises `SettingError`."""
    if _Kept.isolate is None:
        _Kept.isolate = Isolate.of(js_env)
    return _Kept.isolate


def crossing(context: Any) -> Crossing:
    """Return how requests and responses reach an actor; *context* keeps streamed bodies going."""
    keep_alive = EdgeTools(context).wait_until
    return Crossing(
        request_out=lambda request: request_to_js(request, keep_alive),
        request_in=request_from_js,
        response_out=lambda response: response_to_js(response, keep_alive),
        response_in=response_from_js,
    )


Bind = Callable[[Env, Any, Any], None]


def bind_stores(env: Env, js_env: Any) -> None:
    """Put the stores that `Env` declares into *env*; raises `SettingError` for a missing one."""
    adapters: dict[type, Callable[[Any], object]] = {
        KVNamespace: lambda raw: EdgeKvNamespace(raw, env.tools.now),
        D1Database: EdgeDatabase,
        R2Bucket: EdgeBucket,
    }
    for name, kind in BINDINGS.items():
        if kind in adapters:
            setattr(env, name.lower(), adapters[kind](_binding(js_env, name)))


def bind_actors(env: Env, js_env: Any, context: Any) -> None:
    """Put the Durable Object namespaces that `Env` declares into *env*."""
    ways = crossing(context)
    for name, kind in BINDINGS.items():
        if kind is ObjectNamespace:
            setattr(env, name.lower(), EdgeNamespace(_binding(js_env, name), ways))


def _binding(js_env: Any, name: str) -> Any:
    raw = interop.member(js_env, name)
    if raw is None:
        raise SettingError(f"The binding {name} is missing. List it in wrangler_compat.toml.")
    return raw


def open_env(js_env: Any, context: Any, bind: Bind = bind_actors) -> Env:
    """
    Return the bag for one event over the raw *js_env*; *context* is what has waitUntil.

    Raises `SettingError` when the deployment lacks a setting or a binding.
    """
    isolate = isolate_of(js_env)
    settings = isolate.settings
    tools = EdgeTools(context)
    if settings.mail_webhook_url is not None:
        address = settings.mail_webhook_url.reveal().decode()
        tools.mail = WebhookMail(address, settings, tools.fetch)
    labels = {"app": "edgekeep", "env": settings.environment, "platform": "edge"}
    env = Env(
        settings=settings,
        log=Log(console_writer(), tools.now, labels),
        tools=tools,
        request_id=lambda: random_bytes(16).hex(),
        access=isolate.access,
        limiter=PlatformLimiter(js_env, ActorLimiter(lambda: env.rate_limiter, isolate.near)),
        holders=DATA_HOLDERS,
        reserved=WORDS,
    )
    bind_stores(env, js_env)
    bind(env, js_env, context)
    return env


async def answer(js_request: Any, js_env: Any, context: Any, bind: Bind = bind_actors) -> Any:
    """Answer a JavaScript Request with a JavaScript Response. Never raises."""
    try:
        env = open_env(js_env, context, bind)
    except SettingError as error:
        # Its text names the setting and the remedy, never the value.
        interop.js_global("console").error(str(error))
        refused = refusal(InternalError(), random_bytes(16).hex())
        add_safe_headers(refused.headers, SAFE_HEADERS)
        return response_to_js(refused, EdgeTools(context).wait_until)
    request = request_from_js(js_request)
    response = await _WORKER.handle(request, env)
    add_safe_headers(response.headers, safe_headers(env.settings))
    return response_to_js(response, _told(env), method=request.method)


def _told(env: Env) -> KeepAlive:
    """Return what keeps the work of a streamed body going and logs its failure."""

    async def tell(work: Awaitable[Any]) -> None:
        try:
            await work
        except Exception as error:
            # The answer has begun: its reader sees it break off.
            env.log.error("stream_failed", error)

    return lambda work: env.tools.wait_until(tell(work))


async def on_fetch(js_request: Any, js_env: Any, context: Any) -> Any:
    """Answer a request: the entry that the runtime of 2024 looks for."""
    return await answer(js_request, js_env, context)


def _make_default() -> Any:
    """Return the Worker's class; the runtime finds it by the name Default."""
    from workers import WorkerEntrypoint

    class Default(WorkerEntrypoint):  # type: ignore[misc]  # the SDK is not installed on a laptop
        """The names of these methods are Cloudflare's."""

        async def fetch(self, request: Any) -> Any:
            raw = unwrapped(request, "js_object")
            return await answer(raw, unwrapped(self.env, "_env"), self.ctx)

        async def scheduled(self, controller: Any, env: Any, ctx: Any) -> None:
            opened = open_env(unwrapped(self.env, "_env"), self.ctx)
            await _WORKER.scheduled(str(controller.cron), opened)

    return Default


__all__ = ["answer", "bind_actors", "crossing", "on_fetch", "open_env"]

if importlib.util.find_spec("workers") is not None:
    Default = _make_default()
    for _name, _class in ACTORS.items():
        globals()[_name] = make_actor_class(_class, open_env, crossing)
    # main.py says `from worker.entry.edge import *`: these are what the runtime looks for.
    __all__ += ["Default", *ACTORS]
