"""
Durable Objects at the edge (durable/edge*.py), in current Pyodide against a state in JavaScript.

The JavaScript stands in for Cloudflare's; the conversions between it and Python are the real ones.
What it takes for granted about Cloudflare's state was seen in real workerd (facts/bindings.md D,
and the probe described in docs/edge.md).
"""

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from scripts.edge import toolchain

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).with_name("edge_objects")
INSIDE = FOLDER / "inside.py"
PYODIDE = toolchain.NODE_FOLDER / "node_modules" / "pyodide"


def names_of_checks() -> list[str]:
    """Return the coroutines of inside.py that are checks."""
    tree = ast.parse(INSIDE.read_text())
    found = [node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
    return [name for name in found if name not in ("raises", "run")]


@pytest.fixture(scope="module")
def report() -> dict[str, str]:
    """What each check ended in; all of them run in one Pyodide."""
    try:
        toolchain.install()
    except toolchain.ToolError as error:
        absent = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        absent(f"Durable Objects of the edge were left out: {error}")
    done = subprocess.run(
        ["node", str(FOLDER / "run.mjs"), str(ROOT), str(PYODIDE), str(INSIDE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stderr or done.stdout)[-2000:]
    told: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.timeout(400)
@pytest.mark.parametrize("check", names_of_checks())
def test_durable_objects_at_the_edge(report: dict[str, str], check: str) -> None:
    """Each check of inside.py passes in current Pyodide."""
    assert report[check] == "ok"


def test_every_check_was_run(report: dict[str, str]) -> None:
    """A check that is not reported would pass unseen."""
    assert sorted(report) == sorted(names_of_checks())
