"""
The current workerd with the bundle as built and one more actor: native Python Durable Objects.

It needs a Pyodide bundle: from the folder EDGE_PYODIDE_DIR, or from Cloudflare's server when that
can be reached (facts/components.md).
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from scripts.edge.closure import find_closure
from scripts.edge.toolchain import install
from scripts.edge.wrangler_config import SOURCES
from tests.edge.bundle import as_modules, built
from tests.edge.workerd import Workerd, declared_stores, running
from tests.support.running_host import ROOT, SECRETS
from worker.entry.config import load_config

FOLDER = Path(__file__).parent / "node_current"
_BUNDLES = ("pyodide-capnp-bin.edgeworker.net", 443)


@cache
def available() -> bool:
    """Whether a Pyodide bundle can be had here."""
    if os.environ.get("EDGE_PYODIDE_DIR"):
        return True
    with contextlib.suppress(OSError), socket.create_connection(_BUNDLES, timeout=3):
        return True
    return False


def options() -> dict[str, Any]:
    """Return Miniflare's options for what `edgekeep edge build` makes, under tests' entry."""
    files = {
        path.removeprefix(f"{SOURCES}/"): data
        for path, data in built().items()
        if path.startswith((f"{SOURCES}/", "python_modules/"))
    }
    for module in find_closure(ROOT, "tests.edge.inside.streaming").modules.values():
        files[module.path.as_posix()] = (ROOT / module.path).read_bytes()
    files["main.py"] = (ROOT / "tests/edge/inside/native.py").read_bytes()
    flags = ["python_workers", "webcrypto_modern_algorithms"]
    if os.environ.get("EDGE_PYODIDE_DIR"):
        flags.append("python_workers_development")
    actors = [*load_config(ROOT / "wrangler_compat.toml").actors.items(), ("STREAMS", "Streams")]
    return {
        "compatibilityDate": "2026-11-01",
        "compatibilityFlags": flags,
        "modules": as_modules(files),
        "bindings": {**SECRETS, "PROFILE_STORE": "kv"},
        **declared_stores(),
        "durableObjects": {
            binding: {"className": class_name, "useSQLite": True} for binding, class_name in actors
        },
    }


@contextlib.contextmanager
def running_current(scratch: Path) -> Iterator[Workerd]:
    """Run the current workerd as long as the block does; *scratch* is an empty folder."""
    install(FOLDER)
    binary = FOLDER / "node_modules" / "workerd" / "bin" / "workerd"
    bundles = os.environ.get("EDGE_PYODIDE_DIR")
    flag = f" --pyodide-bundle-disk-cache-dir='{bundles}'" if bundles else ""
    wrapper = scratch / "workerd"
    wrapper.write_text(f"#!/bin/sh\nexec '{binary}' \"$@\"{flag}\n")
    wrapper.chmod(0o755)
    with running(
        options(),
        node=str(FOLDER / "node_modules" / ".bin" / "node"),
        folder=FOLDER,
        environ={"MINIFLARE_WORKERD_PATH": str(wrapper)},
    ) as started:
        yield started
