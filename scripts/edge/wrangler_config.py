"""
The wrangler.toml of the bundle, derived from wrangler_compat.toml.

Bindings, variables, actor classes, crons and migrations stay as they are; what differs is where the
code lies. `[env.NAME]` adds what only one deployment has (ids of its stores, its variables): its
rows replace the rows with the same binding, so that nothing has to be repeated.
"""

import copy
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from worker.entry.config import ConfigError, load_config
from worker.setting_kinds import DEVELOPMENT_MARK
from worker.settings import SETTINGS

SOURCES: Final = "src"
"""Folder of our modules in the bundle: apart from python_modules/, which wrangler adds itself."""
MAIN: Final = f"{SOURCES}/main.py"

# Python modules are added by wrangler itself; .json and .css it leaves out (facts/bindings.md G).
_RULES: Final = (
    {"type": "Text", "globs": ["**/*.json"], "fallthrough": True},
    {"type": "Text", "globs": ["**/*.sql"], "fallthrough": True},
    {"type": "Text", "globs": ["**/*.css"], "fallthrough": True},
)
# Rows of these tables are told apart by the key behind them.
_NAMED_ROWS: Final = {
    "kv_namespaces": "binding",
    "d1_databases": "binding",
    "r2_buckets": "binding",
}
_KV_ID: Final = re.compile(r"[0-9a-f]{32}")
_D1_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def derive(compat: Path, environment: str | None) -> dict[str, Any]:
    """
    Return the document of the bundle's wrangler.toml.

    Raises:
        ConfigError: the file cannot be used, holds a secret, or has no such environment.
    """
    load_config(compat)  # the same judgement as on the laptop, with the same sentences
    document = tomllib.loads(compat.read_text(encoding="utf-8-sig"))
    environments = document.pop("env", {})
    if environment is not None:
        if environment not in environments:
            known = ", ".join(sorted(environments)) or "none"
            raise ConfigError(f"{compat}: there is no [env.{environment}] (there: {known}).")
        document = _merged(document, environments[environment])
    _refuse_secrets(compat, document)
    made = {"name": document.pop("name"), "main": MAIN}
    document.pop("main", None)
    flags = list(document.pop("compatibility_flags", []))
    made["compatibility_date"] = document.pop("compatibility_date")
    made["compatibility_flags"] = flags if "python_workers" in flags else [*flags, "python_workers"]
    made |= document
    made["rules"] = [*document.get("rules", []), *copy.deepcopy(_RULES)]
    return made


def _merged(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(base)
    for key, value in own.items():
        if key in _NAMED_ROWS:
            made[key] = _merged_rows(made.get(key, []), value, _NAMED_ROWS[key])
        elif isinstance(value, Mapping) and isinstance(made.get(key), dict):
            made[key] = {**made[key], **value}
        else:
            made[key] = value
    return made


def _merged_rows(
    base: list[dict[str, Any]], own: list[dict[str, Any]], key: str
) -> list[dict[str, Any]]:
    rows = {row[key]: row for row in base}
    for row in own:
        rows[row[key]] = {**rows.get(row[key], {}), **row}
    return list(rows.values())


def _refuse_secrets(compat: Path, document: Mapping[str, Any]) -> None:
    """A secret in [vars] would be readable in the bundle and in Cloudflare's dashboard."""
    variables = document.get("vars", {})
    for row in SETTINGS:
        if row.hidden and row.name in variables:
            raise ConfigError(
                f"{compat}: vars.{row.name} is a secret and would be readable in the bundle. Take "
                f"it out and set it with: wrangler secret put {row.name}."
            )
    for name, value in variables.items():
        if isinstance(value, str) and DEVELOPMENT_MARK in value and len(value) > 40:
            raise ConfigError(f"{compat}: vars.{name} looks like a development key; take it out.")


def secret_names() -> list[str]:
    """Return the names that must be set with `wrangler secret put` before the Worker answers."""
    return [row.name for row in SETTINGS if row.secret]


def migration_folders(document: Mapping[str, Any]) -> list[PurePosixPath]:
    """Return the folders of D1 migrations, relative to the configuration."""
    rows = document.get("d1_databases", [])
    return [PurePosixPath(row["migrations_dir"]) for row in rows if "migrations_dir" in row]


def local_names(document: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each id that only a laptop understands; a deploy needs real ones."""
    found = [
        f'{row["binding"]} has the id "{row["id"]}"; make the namespace with: '
        f"wrangler kv namespace create {row['binding']}"
        for row in document.get("kv_namespaces", [])
        if not _KV_ID.fullmatch(row["id"])
    ]
    found += [
        f'{row["binding"]} has the database_id "{row.get("database_id", "")}"; make the database '
        f"with: wrangler d1 create {row['database_name']}"
        for row in document.get("d1_databases", [])
        if not _D1_ID.fullmatch(row.get("database_id", ""))
    ]
    return found
