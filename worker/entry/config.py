"""
Reads wrangler_compat.toml, the one truth about bindings, variables, actor classes and crons.

The file is a wrangler configuration (https://developers.cloudflare.com/workers/wrangler/configuration/);
tables that only wrangler needs are left to wrangler. What we read is judged here, once, so that a
mistake becomes one sentence at the start and not an odd failure later.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, Final

from d1_schema.contract import D1Database
from durable.contract import ObjectNamespace
from kv.contract import KVNamespace
from r2.contract import R2Bucket
from worker.entry.crons import check_cron

# Names of bindings become attributes of `Env` and names of files; database and bucket names become
# names of files and folders.
_BINDING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_STORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_MOMENTS = (date, time)  # a datetime is a date
_READ_TABLES = (
    "name",
    "vars",
    "kv_namespaces",
    "d1_databases",
    "r2_buckets",
    "durable_objects",
    "migrations",
    "triggers",
)
TABLES: Final[Mapping[type, str]] = {
    KVNamespace: "kv_namespaces",
    D1Database: "d1_databases",
    R2Bucket: "r2_buckets",
    ObjectNamespace: "durable_objects.bindings",
}
"""Where the bindings of each contract are listed."""
# What says how a Worker is built, deployed and reached at Cloudflare: nothing to serve here. The
# host counts calls by itself, and [env.NAME] is for `edgekeep edge`.
_NOT_OURS = frozenset(
    {
        *("$schema", "account_id", "main", "compatibility_date", "compatibility_flags", "env"),
        *("workers_dev", "preview_urls", "route", "routes", "placement", "limits", "usage_model"),
        *("build", "base_dir", "alias", "define", "rules", "tsconfig", "minify", "no_bundle"),
        *("find_additional_modules", "preserve_file_names", "python_modules", "node_compat"),
        *("keep_names", "keep_vars", "upload_source_maps", "send_metrics", "first_party_worker"),
        *("legacy_env", "dev", "observability", "logpush", "ratelimits"),
    }
)


class ConfigError(ValueError):
    """A sentence: the file, the key, what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class D1Binding:
    """One D1 database: where its migrations lie and which table counts them."""

    binding: str
    database_name: str
    migrations_dir: Path
    migrations_table: str


@dataclass(frozen=True, slots=True)
class Config:
    """
    What the file says.

    *kv*: binding -> namespace id. *r2*: binding -> bucket_name. *actors*: binding -> class_name.
    *crons* are UTC. *path* is the file itself, absolute.
    """

    name: str
    kv: Mapping[str, str]
    d1: tuple[D1Binding, ...]
    r2: Mapping[str, str]
    actors: Mapping[str, str]
    variables: Mapping[str, str]
    crons: tuple[str, ...]
    path: Path
    unserved: tuple[str, ...] = ()
    """What is there at Cloudflare and not here, as it is written in the file."""

    @property
    def bindings(self) -> dict[str, type]:
        """Every binding that the file lists, and the contract of its kind."""
        d1 = [row.binding for row in self.d1]
        names = {KVNamespace: self.kv, D1Database: d1, R2Bucket: self.r2}
        stores: dict[str, type] = {name: kind for kind in names for name in names[kind]}
        return stores | dict.fromkeys(self.actors, ObjectNamespace)


def _as_text(value: Any) -> str:
    """Return a variable as the Worker reads it: what is no text as JSON, as wrangler does."""
    if isinstance(value, str):
        return value
    if isinstance(value, _MOMENTS):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_as_text)


def load_config(path: Path) -> Config:
    """Read and judge the file at *path*; raises `ConfigError`."""
    path = path.absolute()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; name the file with --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
    return _Reader(path, document).config()


class _Reader:
    """Turns the parsed document into a `Config`; every complaint names the file and the key."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._path = path
        self._document = document
        self._taken: dict[str, str] = {}

    def config(self) -> Config:
        self._refuse_misspelt_tables()
        return Config(
            name=self._text(self._document, "name", "the file"),
            kv=self._kv(),
            d1=self._d1(),
            r2=self._r2(),
            actors=self._actors(),
            variables=self._variables(),
            crons=self._crons(),
            path=self._path,
            unserved=tuple(self._unserved()),
        )

    # The tables

    def _kv(self) -> dict[str, str]:
        return {
            self._binding(row, where, "binding"): self._text(row, "id", where)
            for where, row in self._rows("kv_namespaces")
        }

    def _d1(self) -> tuple[D1Binding, ...]:
        found = []
        for where, row in self._rows("d1_databases"):
            folder = self._text(row, "migrations_dir", where, "migrations")
            found.append(
                D1Binding(
                    self._binding(row, where, "binding"),
                    self._store_name(row, "database_name", where),
                    self._path.parent / folder,
                    self._text(row, "migrations_table", where, "d1_migrations"),
                )
            )
        self._refuse_doubles("database_name", (row.database_name for row in found))
        return tuple(found)

    def _r2(self) -> dict[str, str]:
        return {
            self._binding(row, where, "binding"): self._store_name(row, "bucket_name", where)
            for where, row in self._rows("r2_buckets")
        }

    def _actors(self) -> dict[str, str]:
        section = self._table("durable_objects")
        known = self._actor_classes()
        actors = {}
        for where, row in self._rows("bindings", section, "durable_objects.bindings"):
            if "script_name" in row:
                raise self._error(where, "script_name names another Worker; only our own are run")
            binding = self._binding(row, where, "name")
            class_name = self._text(row, "class_name", where)
            if class_name not in known:
                listed = ", ".join(sorted(known)) or "none"
                raise self._error(
                    where,
                    f"the class {class_name} stands in no [[migrations]] new_sqlite_classes "
                    f"(there: {listed}); add it there or correct class_name",
                )
            actors[binding] = class_name
        return actors

    def _actor_classes(self) -> set[str]:
        """Return the classes that exist after all [[migrations]]."""
        classes: set[str] = set()
        for where, row in self._rows("migrations"):
            self._text(row, "tag", where)
            if "new_classes" in row:
                raise self._error(where, "new_classes is the old storage; use new_sqlite_classes")
            classes |= set(self._texts(row, "new_sqlite_classes", where))
            classes -= set(self._texts(row, "deleted_classes", where))
            for renamed_where, renamed in self._rows("renamed_classes", row, where):
                classes.discard(self._text(renamed, "from", renamed_where))
                classes.add(self._text(renamed, "to", renamed_where))
        return classes

    def _variables(self) -> dict[str, str]:
        return {name: _as_text(value) for name, value in self._table("vars").items()}

    def _unserved(self) -> Iterable[str]:
        for key, value in self._document.items():
            if key not in _NOT_OURS and key not in _READ_TABLES:
                yield f"[[{key}]]" if isinstance(value, list) else f"[{key}]"
        for table in ("kv_namespaces", "d1_databases", "r2_buckets"):
            yield from (f"{where}: remote" for where, row in self._rows(table) if row.get("remote"))

    def _crons(self) -> tuple[str, ...]:
        crons = self._texts(self._table("triggers"), "crons", "triggers")
        for cron in crons:
            try:
                check_cron(cron)
            except ValueError as error:
                raise self._error("triggers.crons", str(error)) from None
        self._refuse_doubles("triggers.crons", crons)
        return tuple(crons)

    # Values

    def _table(self, key: str) -> dict[str, Any]:
        table = self._document.get(key, {})
        if not isinstance(table, dict):
            raise self._error(key, f"expected a table, written [{key}]")
        return table

    def _rows(
        self, key: str, within: dict[str, Any] | None = None, title: str = ""
    ) -> Iterable[tuple[str, dict[str, Any]]]:
        rows = (self._document if within is None else within).get(key, [])
        title = title or key
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._error(title, f"expected a list of tables, written [[{title}]]")
        return [(f"{title} no. {number}", row) for number, row in enumerate(rows, 1)]

    def _text(self, row: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
        value = row.get(key, default)
        if value is None:
            raise self._error(where, f"{key} is missing")
        if not isinstance(value, str) or not value:
            raise self._error(where, f"{key} must be a text between quotes and not empty")
        return value

    def _texts(self, row: dict[str, Any], key: str, where: str) -> list[str]:
        values = row.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self._error(where, f"{key} must be a list of texts")
        return values

    def _binding(self, row: dict[str, Any], where: str, key: str) -> str:
        binding = self._text(row, key, where)
        if not _BINDING.fullmatch(binding):
            raise self._error(where, f"{key} {binding!r} may have letters, digits and _ only")
        # Bindings share one bag, as in wrangler; ours ignores case (attributes are lower case).
        first = self._taken.setdefault(binding.lower(), where)
        if first != where:
            raise self._error(where, f"{key} {binding!r} is taken by {first}; choose another")
        return binding

    def _store_name(self, row: dict[str, Any], key: str, where: str) -> str:
        name = self._text(row, key, where)
        if not _STORE_NAME.fullmatch(name):
            raise self._error(where, f"{key} {name!r} may have letters, digits, - _ . only")
        return name

    # Complaints

    def _error(self, where: str, text: str) -> ConfigError:
        end = "" if text.endswith("?") else "."
        return ConfigError(f"{self._path}: {where}: {text}{end}")

    def _refuse_doubles(self, where: str, names: Iterable[str]) -> None:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise self._error(where, f"{name!r} stands there twice")
            seen.add(name)

    def _refuse_misspelt_tables(self) -> None:
        """A table that nearly has a name of ours would be passed over in silence."""
        for key in self._document:
            if key not in _READ_TABLES and key not in _NOT_OURS:
                near = difflib.get_close_matches(key, _READ_TABLES, 1, 0.85)
                if near:
                    raise self._error(key, f"unknown; did you mean {near[0]}?")
