"""The import rules of pyproject.toml: kept by the code, and broken by what they forbid."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.sources import PRODUCT, ROOT, sources

RULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LINT = Path(sys.executable).parent / "lint-imports"
# One offence against each rule: the file that commits it, and the line.
OFFENCES = {
    "bindings": ("kv/contract.py", "import worker.limits"),
    "adapters": ("worker/profiles/store/profiles.py", "import kv.embedded"),
    "actor-runtimes": ("worker/profiles/import_room.py", "import durable.local_socket"),
    "entries": ("worker/app.py", "import worker.entry.config"),
    "clients": ("clients/python/relay/sealing.py", "import worker.codec"),
    "slices": ("worker/profiles/model.py", "import worker.other.model"),
    "floors": ("worker/wire/cors.py", "import worker.profiles.model"),
    "key-store": ("worker/relay/keys/model.py", "import worker.relay.inbox.model"),
    "inboxes": ("worker/relay/inbox/model.py", "import worker.relay.keys.store"),
    "javascript": ("r2/objects.py", "import js"),
    "host-only": ("worker/crypto_port.py", "import cryptography"),
    "one-sqlite": ("scripts/cli/d1_verbs.py", "import sqlite3"),
    "ambient": ("worker/profiles/model.py", "import time"),
}


def lint(folder: Path) -> str:
    """Return what lint-imports says of the packages in *folder*."""
    done = subprocess.run(
        [sys.executable, str(LINT), "--no-cache", "--no-logo"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product with a second slice."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PRODUCT:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__py*", "node_modules")
        )
    other = folder / "worker" / "other"
    other.mkdir()
    (other / "__init__.py").write_text("")
    (other / "model.py").write_text("")
    text = (ROOT / "pyproject.toml").read_text()
    slices = r'(name = "Slices do not know each other".*?modules = \[)'
    text = re.sub(slices, r'\1"worker.other", ', text, flags=re.DOTALL)
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_every_rule_holds(copy: Path) -> None:
    """The product breaks none of its rules."""
    said = lint(copy)

    assert f"Contracts: {len(RULES)} kept, 0 broken." in said


def test_every_rule_notices_its_offence(copy: Path) -> None:
    """Each rule is broken by the import that it forbids."""
    for name, line in OFFENCES.values():
        with (copy / name).open("a") as file:
            file.write(f"\n{line}\n")

    said = lint(copy)

    kept = [rule["name"] for rule in RULES if f"{rule['name']} BROKEN" not in said]
    assert set(OFFENCES) == {rule["id"] for rule in RULES}
    assert kept == [], said


def test_every_slice_and_adapter_is_named_in_the_rules() -> None:
    """A new slice or adapter does not slip past the rules by being unknown to them."""
    by_id = {rule["id"]: rule for rule in RULES}
    folders = {f"worker.{path.parent.name}" for path in (ROOT / "worker").glob("*/__init__.py")}
    floors = set(by_id["floors"]["source_modules"])
    adapters = {
        f"{package}.{path.stem}"
        for package in ("kv", "d1_schema", "r2")
        for path in (ROOT / package).glob("*.py")
        if path.stem in ("embedded", "edge", "redis", "minio")
    }

    slices = folders - floors - {"worker.entry"}

    assert slices == set(by_id["slices"]["modules"]) == set(by_id["floors"]["forbidden_modules"])
    assert adapters == set(by_id["adapters"]["protected_modules"])


def test_tests_open_state_with_the_same_sqlite() -> None:
    """A test lives in the process of the host that it looks at; see "one-sqlite" above."""
    others = [s.path for s in sources() if re.search(r"^\s*import sqlite3", s.text, re.MULTILINE)]

    # A process of its own, with a file of its own; and the offline runtime, which has no other.
    assert others == ["benchmarks/reference_import.py", "tests/edge/inside/sqlite_standin.py"]
