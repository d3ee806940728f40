"""The lint of the edge bundle: what it finds, what it lets pass, and how it says it."""

from pathlib import Path

import pytest

from scripts.edge import bundle
from scripts.edge.bundle import BundleError
from scripts.edge.closure import find_closure
from scripts.edge.lint import find_faults


def plant(root: Path, **sources: str) -> Path:
    """Write modules of a package `worker`; the entry imports `worker.planted`."""
    folder = root / "worker" / "entry"
    folder.mkdir(parents=True)
    for package in (root / "worker", folder):
        (package / "__init__.py").write_text("")
    (folder / "edge.py").write_text("from worker import planted\n")
    for name, source in sources.items():
        (root / "worker" / f"{name}.py").write_text(source)
    return root


def faults(root: Path) -> list[str]:
    """Return what the lint says about the entry's closure."""
    return [str(fault) for fault in find_faults(find_closure(root, bundle.ENTRY))]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import aiohttp", "imports aiohttp, a package that is not in the edge bundle"),
        ("def f():\n    import redis.asyncio", "imports redis.asyncio, a package that is not"),
        ("from subprocess import run", "imports subprocess, which Python at the edge does not"),
        ("import threading", "imports threading, which Python at the edge does not have"),
        ("import os\nA = os.urandom(3)", "os.urandom() at import takes randomness"),
        ("from os import urandom as dice\nA = dice(3)", "os.urandom() at import takes randomness"),
        (
            "import secrets\nA = [secrets.token_hex() for _ in '12']",
            "secrets.token_hex() at import",
        ),
        ("import random\nA = random.random()", "random.random() at import takes randomness"),
        ("from uuid import uuid4\nclass A:\n    id = uuid4()", "uuid.uuid4() at import"),
        ("import time\ndef f(now=time.time()): ...", "time.time() at import reads the clock"),
        ("import time as t\n@t.time()\ndef f(): ...", "time.time() at import reads the clock"),
        ("from datetime import datetime\nA = datetime.now()", "datetime.datetime.now() at import"),
        ("A = open('x').read()", "open() at import does I/O"),
        ("from pathlib import Path\nA = Path('x').read_text()", "read_text() at import does I/O"),
        ("import asyncio\nasyncio.run(None)", "asyncio.run() at import needs a running event loop"),
        ("import time\ndef f():\n    time.sleep(1)", "time.sleep() blocks the isolate for good"),
        ("import hashlib\ndef f():\n    hashlib.scrypt(b'')", "hashlib.scrypt() is too slow"),
    ],
)
def test_what_would_fail_at_the_edge_is_found(tmp_path: Path, source: str, said: str) -> None:
    """Each kind of mistake, wherever it hides, is one line with file and line number."""
    found = faults(plant(tmp_path, planted=source))

    assert len(found) == 1
    assert found[0].startswith("worker/planted.py:")
    assert said in found[0]


@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef f():\n    return os.urandom(3)",
        "import random\nA = random.Random(5)\nB = random.SystemRandom()",
        "import time\nf = lambda: time.time()",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aiohttp",
        "import typing\nif typing.TYPE_CHECKING:\n    from worker import nowhere",
        "import asyncio\nA = asyncio.Lock()",
        "def f():\n    import js, fastjsonschema, jwt\n    from pyodide.ffi import to_js",
        "import re, sqlite3, hashlib\nA = re.compile('x')\nB = hashlib.sha256(b'').digest()",
    ],
)
def test_what_works_at_the_edge_passes(tmp_path: Path, source: str) -> None:
    """No false alarms: seeded generators, lazy calls, and what only type checkers read."""
    assert faults(plant(tmp_path, planted=source)) == []


def test_a_fault_says_how_the_edge_comes_to_that_module(tmp_path: Path) -> None:
    """The chain of imports shows where to cut."""
    root = plant(tmp_path, planted="import worker.deeper", deeper="import redis")

    [said] = faults(root)
    assert said == (
        "worker/deeper.py:1: imports redis, a package that is not in the edge bundle. The edge "
        "comes here by worker.entry.edge -> worker.planted -> worker.deeper."
    )


def test_modules_that_nobody_imports_are_not_judged(tmp_path: Path) -> None:
    """The host's files may import what they like."""
    root = plant(tmp_path, planted="", host="import aiohttp")

    assert faults(root) == []


def test_imports_inside_functions_bring_their_modules_along(tmp_path: Path) -> None:
    """A lazy import runs at the edge too, only later."""
    root = plant(tmp_path, planted="def f():\n    from worker import lazy", lazy="")

    assert "worker.lazy" in find_closure(root, bundle.ENTRY).modules


def test_a_module_that_does_not_exist_stops_the_build(tmp_path: Path) -> None:
    """The sentence names the importer and the missing module."""
    root = plant(tmp_path, planted="import worker.gone")

    with pytest.raises(BundleError, match=r"worker\.planted imports worker\.gone: no such module"):
        bundle.collect(root, Path(__file__).parents[2] / "wrangler_compat.toml", tmp_path, None)


def test_a_faulty_source_stops_the_build_with_every_fault(tmp_path: Path) -> None:
    """All faults at once, so that one build is enough to see them."""
    root = plant(tmp_path, planted="import redis\nimport os\nA = os.urandom(3)")

    with pytest.raises(BundleError, match=r"2 lines would not work at the edge") as caught:
        bundle.collect(root, Path(__file__).parents[2] / "wrangler_compat.toml", tmp_path, None)

    assert "worker/planted.py:1: imports redis" in str(caught.value)
    assert "worker/planted.py:3: os.urandom()" in str(caught.value)
