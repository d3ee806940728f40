"""Settings: what each is, and where it came from. Of a secret nothing is shown, nor its length."""

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from worker.entry.dev_vars import DEV_VARS, dev_vars_path, read_dev_vars
from worker.setting_kinds import DEVELOPMENT_MARK, Setting
from worker.settings import SETTINGS

if TYPE_CHECKING:
    from worker.entry.console.frame import Console, Page

_HOST_PREFIX: Final = "EDGEKEEP_"


async def settings(console: "Console", request: web.Request) -> web.StreamResponse:
    """GET: every row of SETTINGS, and the host's own variables."""
    opened, variables = console.opened, console.variables
    path = dev_vars_path(opened.config, opened.stores.state)
    try:
        beside = await asyncio.to_thread(read_dev_vars, path)
    except OSError:
        beside = {}
    sources = {
        "environment": dict(os.environ),
        DEV_VARS: beside,
        opened.config.path.name: opened.config.variables,
    }
    host_names = sorted(name for name in variables if name.startswith(_HOST_PREFIX))
    return console.render(
        request,
        "settings.html",
        rows=[_row(row, variables, sources) for row in SETTINGS],
        host_variables=[(name, _source(name, variables, sources)) for name in host_names],
        config_path=str(opened.config.path),
        dev_vars=str(path),
    )


def _row(
    row: Setting, variables: Mapping[str, str], sources: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    value = variables.get(row.name, row.default or "")
    return {
        "setting": row,
        # Only whether it is one that `edgekeep dev` made; the mark is no part of the key.
        "is_development_key": row.secret and DEVELOPMENT_MARK in value,
        "value": None if row.hidden else value,
        "source": _source(row.name, variables, sources),
    }


def _source(
    name: str, variables: Mapping[str, str], sources: Mapping[str, Mapping[str, str]]
) -> str:
    """Return the strongest source that gives the value in use."""
    if name not in variables:
        return "default"
    for source, values in sources.items():
        if values.get(name) == variables[name]:
            return source
    return "given at the start"


PAGES: "tuple[tuple[str, str, Page], ...]" = (("GET", "/settings", settings),)
