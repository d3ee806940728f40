"""
Opens the adapters that a configuration names and puts them into an `Env`.

State directory: kv/<BINDING>.sqlite, d1/<database_name>.sqlite, r2/<bucket_name>/, durable/.
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from d1_schema.contract import D1Database
from d1_schema.embedded import open_database
from d1_schema.migrate import apply_migrations
from durable.embedded import Actors
from kv.contract import KVNamespace
from kv.embedded import open_namespace
from r2.contract import R2Bucket
from r2.embedded import open_bucket
from worker.entry.config import Config, ConfigError
from worker.entry.faults import Faults
from worker.entry.host_tools import HostTools, RequestIds, soon
from worker.env import Env
from worker.log import Log
from worker.routes import ACTORS
from worker.settings import Settings


@dataclass(slots=True)
class Opened:
    """An `Env` with what it takes to start its clocks and to close it again."""

    env: Env
    config: Config
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
    for name in ("EDGEKEEP_KV", "EDGEKEEP_R2"):
        if variables.get(name):
            raise ConfigError(f"{name} is set, and this version has the embedded stores only.")
    tools = HostTools()
    faults = Faults(settings, tools.now, tools.random_bytes)
    labels = {"app": config.name, "env": settings.environment, "platform": "host"}
    log = Log(write_log, tools.now, labels, soon)
    async with AsyncExitStack() as exits:
        stores = _Stores(config, state, tools, faults, exits)
        db = await stores.database("DB")
        migrated = []
        if migrate:
            [bound] = [row for row in config.d1 if row.binding == "DB"]
            migrated = await apply_migrations(db, bound.migrations_dir, bound.migrations_table)
        env = Env(
            settings=settings,
            log=log,
            tools=tools,
            profiles_kv=await stores.namespace("PROFILES_KV"),
            import_report_kv=await stores.namespace("IMPORT_REPORT_KV"),
            idempotency_kv=await stores.namespace("IDEMPOTENCY_KV"),
            db=faults.database(db),
            blobs=await stores.bucket("BLOBS"),
            request_id=RequestIds(),
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
        exits.push_async_callback(tools.finish)
        _bind_actors(env, actors, config)
        return Opened(env, config, actors, migrated, exits.pop_all())
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


class _Stores:
    """Opens bindings by name and sees that they are closed."""

    def __init__(
        self,
        config: Config,
        state: Path,
        tools: HostTools,
        faults: Faults,
        exits: AsyncExitStack,
    ) -> None:
        self._config = config
        self._state = state
        self._tools = tools
        self._faults = faults
        self._exits = exits

    async def namespace(self, binding: str) -> KVNamespace:
        self._need(binding, self._config.kv, "kv_namespaces")
        path = self._file("kv", f"{binding}.sqlite")
        opened = await open_namespace(path, self._tools.now)
        self._exits.push_async_callback(opened.close)
        return self._faults.namespace(opened)

    async def database(self, binding: str) -> D1Database:
        named = {row.binding: row for row in self._config.d1}
        self._need(binding, named, "d1_databases")
        opened = await open_database(self._file("d1", f"{named[binding].database_name}.sqlite"))
        self._exits.push_async_callback(opened.close)
        return opened

    async def bucket(self, binding: str) -> R2Bucket:
        self._need(binding, self._config.r2, "r2_buckets")
        opened = await open_bucket(
            self._state / "r2" / self._config.r2[binding],
            clock=self._tools.now,
            random_bytes=self._tools.random_bytes,
        )
        self._exits.push_async_callback(opened.close)
        return opened

    def _file(self, folder: str, name: str) -> Path:
        (self._state / folder).mkdir(parents=True, exist_ok=True)
        return self._state / folder / name

    def _need(self, binding: str, known: Mapping[str, object], section: str) -> None:
        if binding not in known:
            raise ConfigError(f"{self._config.path}: [[{section}]] has no binding {binding}.")
