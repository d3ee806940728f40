"""Opens everything a host needs and puts it into an `Env`: stores, actors, log, tools."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from d1_schema.migrate import apply_migrations
from durable.embedded import Actors
from worker.entry import host_mail
from worker.entry.config import Config, ConfigError
from worker.entry.faults import Faults
from worker.entry.host_tools import HostTools, RequestIds, soon
from worker.entry.native_crypto import NativeCrypto
from worker.entry.stores import Stores
from worker.env import Env
from worker.identity.access import LONGEST_MINUTES, Access
from worker.limiter.counting import ProcessLimiter
from worker.log import Log
from worker.registry import ACTORS
from worker.settings import Settings


class _Closable(Protocol):
    async def close(self) -> None: ...


Store = TypeVar("Store", bound=_Closable)


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
) -> Opened:
    """
    Open everything below *state*, making what is missing.

    Raises `SettingError` or `ConfigError` with a sentence for the developer.
    """
    settings = Settings.load(variables)
    tools = HostTools()
    crypto = tools.crypto = NativeCrypto(settings, tools.random_bytes)
    tools.mail = host_mail.choose(settings, state, tools.now, tools.random_bytes)
    faults = Faults(settings, tools.now, tools.random_bytes)
    labels = {"app": config.name, "env": settings.environment, "platform": "host"}
    log = Log(write_log, tools.now, labels, soon)
    async with AsyncExitStack() as exits:
        exits.callback(crypto.close)
        stores = Stores(config, state, variables, tools.now, tools.random_bytes)

        async def keep(opening: Awaitable[Store]) -> Store:
            store = await opening
            exits.push_async_callback(store.close)
            return store

        db = await keep(stores.database("DB"))
        migrated = []
        if migrate:
            [bound] = [row for row in config.d1 if row.binding == "DB"]
            migrated = await apply_migrations(db, bound.migrations_dir, bound.migrations_table)
        env = Env(
            settings=settings,
            log=log,
            tools=tools,
            profiles_kv=faults.namespace(await keep(stores.namespace("PROFILES_KV"))),
            import_report_kv=faults.namespace(await keep(stores.namespace("IMPORT_REPORT_KV"))),
            idempotency_kv=faults.namespace(await keep(stores.namespace("IDEMPOTENCY_KV"))),
            db=faults.database(db),
            blobs=await keep(stores.bucket("BLOBS")),
            request_id=RequestIds(),
            access=Access(settings.signing_keys, LONGEST_MINUTES),
            limiter=ProcessLimiter(tools.now),
        )
        actors = await Actors.open(
            state / "durable",
            clock=tools.now,
            random_bytes=tools.random_bytes,
            log=partial(_actor_event, log),
            before_commit=faults.before_commit,
        )
        exits.callback(log.flush)
        exits.push_async_callback(actors.close)
        exits.push_async_callback(tools.close)
        _bind_actors(env, actors, config)
        return Opened(env, config, stores, actors, migrated, exits.pop_all())
    raise AssertionError("unreachable: the block above returns or raises")


def _actor_event(log: Log, event: str, fields: dict[str, Any]) -> None:
    """
    Write what the actors' runtime has to tell: where, and which kind of error.

    Reasons and texts of errors stay out: they may quote the data that caused them.
    """
    shown: dict[str, Any] = {
        name: fields[name] for name in ("class", "id", "retry_count") if name in fields
    }
    if "error" in fields:
        shown["exception"] = str(fields["error"]).partition("(")[0]
    log.event("warning", event.replace(" ", "_"), **shown)


def _bind_actors(env: Env, actors: Actors, config: Config) -> None:
    for binding, class_name in config.actors.items():
        if class_name not in ACTORS:
            raise ConfigError(f"{config.path}: there is no actor class {class_name}.")
        setattr(env, binding.lower(), actors.bind(class_name, ACTORS[class_name], env))
