"""
Opens the stores that a configuration and two variables name: the one place that chooses adapters.

EDGEKEEP_KV=redis://… puts KV on Redis, EDGEKEEP_R2=s3://key:secret@host:port/bucket R2 on an S3
server; otherwise they are embedded below the state directory: kv/<BINDING>.sqlite,
d1/<database_name>.sqlite, r2/<bucket_name>/.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from d1_schema.contract import D1Database
from d1_schema.migrate import apply_migrations
from d1_schema.sql_file import NotSql
from d1_schema.sqlite.engine import Error
from kv.contract import KVNamespace
from r2.contract import R2Bucket
from worker.entry.config import TABLES, Config, ConfigError

KV_VARIABLE = "EDGEKEEP_KV"
R2_VARIABLE = "EDGEKEEP_R2"
Store = KVNamespace | D1Database | R2Bucket


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise `ConfigError`, with what to do, when SQLite cannot use the file *path* in the block."""
    try:
        yield
    except Error as error:
        raise ConfigError(
            f"{path} cannot be used: {error}. Put back a copy of it, or move it away (with its "
            "-wal and -shm) to begin with an empty one."
        ) from None


@dataclass(frozen=True, slots=True)
class Stores:
    """How to open each binding of *config*; who opens a store closes it."""

    config: Config
    state: Path
    variables: Mapping[str, str]
    clock: Callable[[], float]
    random_bytes: Callable[[int], bytes]

    @property
    def kv_adapter(self) -> str:
        """Which adapter holds KV: "redis" or "embedded"."""
        return "redis" if self.variables.get(KV_VARIABLE) else "embedded"

    @property
    def r2_adapter(self) -> str:
        """Which adapter holds R2: "s3" or "embedded"."""
        return "s3" if self.variables.get(R2_VARIABLE) else "embedded"

    async def open(self, binding: str, contract: type) -> Store:
        """Open *binding* by the kind that its *contract* is; raises `ConfigError`."""
        if contract is KVNamespace:
            return await self.namespace(binding)
        return await (self.database if contract is D1Database else self.bucket)(binding)

    async def migrate(self, binding: str, database: D1Database) -> list[str]:
        """Apply what the database *binding* lacks; return the names."""
        [bound] = [row for row in self.config.d1 if row.binding == binding]
        try:
            return await apply_migrations(database, bound.migrations_dir, bound.migrations_table)
        except NotSql as error:
            raise ConfigError(str(error)) from None

    async def namespace(self, binding: str) -> KVNamespace:
        """Open the KV namespace *binding*; raises `ConfigError`."""
        self._need(binding, self.config.kv, KVNamespace)
        if url := self.variables.get(KV_VARIABLE):
            return await self._namespace_on_redis(url, binding)
        from kv.embedded import open_namespace

        file = self._file("kv", f"{binding}.sqlite")
        with naming(file):
            return await open_namespace(file, self.clock)

    async def _namespace_on_redis(self, url: str, binding: str) -> KVNamespace:
        from kv.redis import RedisStartError, open_namespace

        try:
            return await open_namespace(url, binding, self.clock)
        except RedisStartError as error:
            raise ConfigError(f"{KV_VARIABLE}: {error}") from None

    async def database(self, binding: str) -> D1Database:
        """Open the D1 database *binding*; raises `ConfigError`."""
        from d1_schema.embedded import open_database

        file = self.database_file(binding)
        with naming(file):
            return await open_database(file)

    def database_file(self, binding: str) -> Path:
        """Return where the D1 database *binding* lies, or would lie; raises `ConfigError`."""
        named = {row.binding: row for row in self.config.d1}
        self._need(binding, named, D1Database)
        return self._file("d1", f"{named[binding].database_name}.sqlite")

    async def bucket(self, binding: str) -> R2Bucket:
        """Open the R2 bucket *binding*; raises `ConfigError`."""
        self._need(binding, self.config.r2, R2Bucket)
        if url := self.variables.get(R2_VARIABLE):
            return await self._s3_bucket(url, self.config.r2[binding])
        from r2.embedded import open_bucket

        folder = self.state / "r2" / self.config.r2[binding]
        with naming(folder / "ledger.sqlite"):
            return await open_bucket(folder, clock=self.clock, random_bytes=self.random_bytes)

    async def _s3_bucket(self, url: str, bucket_name: str) -> R2Bucket:
        from r2.minio import S3OpenError, open_bucket, parse_address

        try:
            address = parse_address(url)
            if address.bucket is not None and len(self.config.r2) > 1:
                raise S3OpenError(
                    "the address names one bucket and the configuration several; leave /bucket "
                    "out, and each has the bucket_name of the configuration"
                )
            return await open_bucket(
                address, bucket_name, clock=self.clock, random_bytes=self.random_bytes
            )
        except S3OpenError as error:
            raise ConfigError(f"{R2_VARIABLE}: {error}.") from None

    def _file(self, folder: str, name: str) -> Path:
        (self.state / folder).mkdir(parents=True, exist_ok=True)
        return self.state / folder / name

    def _need(self, binding: str, known: Mapping[str, object], contract: type) -> None:
        if binding not in known:
            table = TABLES[contract]
            raise ConfigError(f"{self.config.path}: [[{table}]] has no binding {binding}.")
