"""Opens everything a host needs and puts it into an `Env`: stores, actors, log, tools."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from d1_schema.contract import D1Database
from durable.contract import ObjectNamespace
from durable.embedded import Actors
from worker.entry.config import TABLES, Config, ConfigError
from worker.entry.faults import Faults
from worker.entry.host_tools import HostTools, RequestIds, soon
from worker.entry.stores import Store, Stores, naming
from worker.env import BINDINGS, Env
from worker.identity.access import LONGEST_MINUTES, Access
from worker.limiter.counting import ProcessLimiter
from worker.limiter.stored import DatabaseLimiter
from worker.log import Log
from worker.registry import ACTORS, DATA_HOLDERS
from worker.routes import WORDS
from worker.settings import Settings


@dataclass(slots=True)
class Opened:
    """An `Env` with what it takes to start its clocks and to close it again."""

    env: Env
    config: Config
    stores: Stores
    actors: Actors
    migrated: list[str]
    _exits: AsyncExitStack

    async def close(self) -> None:
        """Close every store; what was acknowledged is on disk already."""
        await self._exits.aclose()


async def open_env(
    config: Config,
    state: Path,
    variables: Mapping[str, str],
    write_log: Callable[[str], None],
    *,
    migrate: bool = True,
    tools: HostTools | None = None,
) -> Opened:
    """
    Open everything below *state*, making what is missing.

    *tools* brings clock, dice and mail of the caller's choice. Raises `SettingError` or
    `ConfigError` with a sentence for the developer.
    """
    check_bindings(config)
    settings = Settings.load(variables)
    tools = tools or HostTools()
    tools.settle(settings, state)
    faults = Faults(settings, tools.now, tools.random_bytes)
    stores = Stores(config, state, variables, tools.now, tools.random_bytes)
    env = bag(config.name, "host", settings, tools, write_log)
    async with AsyncExitStack() as exits:
        exits.callback(tools.crypto.close)
        migrated = await bind_stores(env, stores, exits, faults.around, migrate=migrate)
        with naming(state / "durable" / "alarms.sqlite"):
            actors = await Actors.open(
                state / "durable",
                clock=tools.now,
                random_bytes=tools.random_bytes,
                log=partial(_actor_event, env.log),
                before_commit=faults.before_commit,
            )
        exits.callback(env.log.flush)
        exits.push_async_callback(actors.close)
        exits.push_async_callback(tools.close)
        _bind_actors(env, actors, config)
        return Opened(env, config, stores, actors, migrated, exits.pop_all())
    raise AssertionError("unreachable: the block above returns or raises")


def bag(
    app: str,
    platform: str,
    settings: Settings,
    tools: HostTools,
    write_log: Callable[[str], None],
) -> Env:
    """Return an `Env` without bindings; the lines of its log name *app* and *platform*."""
    labels = {"app": app, "env": settings.environment, "platform": platform}
    env = Env(
        settings=settings,
        log=Log(write_log, tools.now, labels, soon),
        tools=tools,
        request_id=RequestIds(tools.random_bytes),
        access=Access(settings.signing_keys, LONGEST_MINUTES),
        limiter=DatabaseLimiter(lambda: env.db, tools.now, ProcessLimiter(tools.now)),
        holders=DATA_HOLDERS,
        reserved=WORDS,
    )
    return env


def check_bindings(config: Config) -> None:
    """Raise `ConfigError` unless *config* lists what `Env` declares, kind by kind."""
    listed = config.bindings
    for name, kind in BINDINGS.items():
        if listed.get(name) is not kind:
            raise ConfigError(
                f"{config.path}: [[{TABLES[kind]}]] has no binding {name}, which worker/env.py "
                "declares; add it."
            )
    for name in listed.keys() - BINDINGS.keys():
        raise ConfigError(
            f"{config.path}: [[{TABLES[listed[name]]}]] lists {name}, which is no field of Env in "
            "worker/env.py; add the field, or take the entry out."
        )


async def bind_stores(
    env: Env,
    stores: Stores,
    exits: AsyncExitStack,
    around: Callable[[Store], Store] = lambda store: store,
    *,
    migrate: bool = True,
    only: type | None = None,
) -> list[str]:
    """
    Open the stores that `Env` declares (of the kind *only*); put what *around* makes of each in.

    *exits* closes them. Returns the migrations that were applied.
    """
    migrated = []
    for name, kind in BINDINGS.items():
        if kind is ObjectNamespace or only not in (None, kind):
            continue
        store = await stores.open(name, kind)
        exits.push_async_callback(store.close)
        if migrate and isinstance(store, D1Database):
            migrated += await stores.migrate(name, store)
        setattr(env, name.lower(), around(store))
    return migrated


def _actor_event(log: Log, event: str, fields: dict[str, Any]) -> None:
    """
    Write what the actors' runtime has to tell: where, and which kind of error.

    Reasons and texts of errors stay out: they may quote the data that caused them.
    """
    shown: dict[str, Any] = {
        name: fields[name] for name in ("class", "id", "retry_count", "file") if name in fields
    }
    if "error" in fields:
        shown["exception"] = str(fields["error"]).partition("(")[0]
    log.event("warning", event.replace(" ", "_"), **shown)


def _bind_actors(env: Env, actors: Actors, config: Config) -> None:
    for binding, class_name in config.actors.items():
        if class_name not in ACTORS:
            raise ConfigError(f"{config.path}: there is no actor class {class_name}.")
        setattr(env, binding.lower(), actors.bind(class_name, ACTORS[class_name], env))
