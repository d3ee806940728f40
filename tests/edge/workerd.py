"""Starts real workerd (Node, miniflare 3) with the test bundle, and talks to it."""

import contextlib
import json
import pickle
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.edge.bundle import ROOT, modules, vendored

NODE_FOLDER = Path(__file__).parent / "node"
# The newest date and the flag that the offline runtime knows (facts/components.md).
_COMPATIBILITY = {"compatibilityDate": "2024-10-01", "compatibilityFlags": ["python_workers"]}
STORES = 100
"""How many empty KV namespaces, D1 databases and R2 buckets the suites may open."""


@dataclass
class Workerd:
    """A running workerd."""

    url: str
    _used: dict[str, int] = field(default_factory=dict)

    def fresh(self, kind: str) -> str:
        """Return the binding of a store of *kind* (KV, D1, R2) that nobody used yet."""
        number = self._used.get(kind, 0)
        assert number < STORES, f"the suites open more than {STORES} {kind} stores: raise STORES"
        self._used[kind] = number + 1
        return f"{kind}_{number}"

    def call(self, binding: str, primitive: str, arguments: tuple[Any, ...]) -> Any:
        """Run a primitive of an edge adapter in workerd; raise what it raised. Blocks."""
        from kv.contract import KVError

        call = pickle.dumps((binding, primitive, arguments), protocol=5)
        with urllib.request.urlopen(f"{self.url}__edge_test_door", call, timeout=60) as answer:
            kind, told = pickle.loads(answer.read())
        if kind == "kv":
            raise KVError(*told)
        if kind == "raised":
            raise told
        return told


def node_problem() -> str | None:
    """Return why workerd cannot be started here, or None."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


def install() -> None:
    """Install what package-lock.json names, unless it is there."""
    done = NODE_FOLDER / "node_modules" / ".package-lock.json"
    lock = NODE_FOLDER / "package-lock.json"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE_FOLDER, check=True)


def bundle_options(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of serve.mjs: the bundle and empty stores."""
    main = ROOT / "tests" / "edge" / "inside" / "main.py"
    files = modules(main) | vendored()
    # The entry comes first; its name is what workerd takes for the Worker's.
    listed = [{"type": "PythonModule", "path": "main.py", "file": str(main)}]
    listed += [
        {"type": _type(path), "path": path, "file": str(file)} for path, file in files.items()
    ]
    numbers = range(STORES)
    return {
        **_COMPATIBILITY,
        "modules": listed,
        "bindings": dict(variables),
        "kvNamespaces": [
            *("PROFILES_KV", "IMPORT_REPORT_KV", "IDEMPOTENCY_KV"),
            *(f"KV_{number}" for number in numbers),
        ],
        "d1Databases": ["DB", *(f"D1_{number}" for number in numbers)],
        "r2Buckets": ["BLOBS", *(f"R2_{number}" for number in numbers)],
    }


def _type(path: str) -> str:
    return "PythonModule" if path.endswith(".py") else "Text"


@contextlib.contextmanager
def running(options: Mapping[str, Any]) -> Iterator[Workerd]:
    """Run workerd with *options* as long as the block does."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["node", "serve.mjs"],
            cwd=NODE_FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(options).encode() + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.startswith(b'{"url"'):
                    yield Workerd(json.loads(line)["url"])
                    return
            log.seek(0)
            raise RuntimeError("workerd did not start:\n" + log.read().decode(errors="replace"))
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
