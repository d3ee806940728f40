"""`edgekeep edge build` and `check`: what goes to Cloudflare, and that it would work there."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.cli.main import main
from scripts.edge import bundle, toolchain, vendored
from scripts.edge.bundle import BundleError
from scripts.edge.vendored import VendorError
from worker.registry import ACTORS

ROOT = Path(__file__).resolve().parents[2]
COMPAT = ROOT / "wrangler_compat.toml"
WHEELS = ROOT / "build" / "wheels"

HOST_MODULES = (
    *("kv/embedded.py", "d1_schema/embedded.py", "r2/embedded.py", "durable/embedded.py"),
    *("worker/entry/host.py", "worker/entry/open_env.py", "worker/entry/config.py"),
)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The files of the bundle."""
    return bundle.collect(ROOT, COMPAT, WHEELS, None)


@pytest.fixture
def built(files: dict[str, bytes], tmp_path: Path) -> Path:
    """The bundle on disk."""
    bundle.write(files, tmp_path / "edge")
    return tmp_path / "edge"


@pytest.fixture(scope="module")
def tools() -> None:
    """Node with the pinned tools; their absence is a failure in CI and said loudly elsewhere."""
    try:
        toolchain.install()
    except toolchain.ToolError as error:
        absent = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        absent(f"wrangler's dry run was left out: {error}")


# -- the same bytes ------------------------------------------------------------------------------

_DIGEST = """
import hashlib, sys
from pathlib import Path
from scripts.edge import bundle
root = Path(sys.argv[1])
files = bundle.collect(root, root / "wrangler_compat.toml", root / "build" / "wheels", None)
digest = hashlib.sha256()
for name, data in files.items():
    digest.update(f"{name} {len(data)} ".encode() + data)
print(digest.hexdigest(), bundle.sizes(files).gzip)
"""


def test_the_same_sources_give_the_same_bytes_in_every_process(files: dict[str, bytes]) -> None:
    """Neither the clock nor the seed of Python's hashes shows in the bundle."""
    told = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _DIGEST, str(ROOT)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(done.stdout)

    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name} {len(data)} ".encode() + data)
    assert told == {f"{digest.hexdigest()} {bundle.sizes(files).gzip}\n"}


def test_no_path_of_this_machine_is_in_the_bundle(files: dict[str, bytes]) -> None:
    """A bundle made elsewhere from the same commit is the same bundle."""
    assert [name for name, data in files.items() if str(ROOT).encode() in data] == []


def test_a_new_bundle_replaces_the_old_one_as_a_whole(files: dict[str, bytes], built: Path) -> None:
    """Nothing of an earlier build is left to be uploaded by mistake."""
    (built / "src" / "left_over.py").write_text("")

    bundle.write(files, built)

    there = {p.relative_to(built).as_posix(): p.read_bytes() for p in _files_below(built)}
    assert there == files


def test_a_folder_that_is_no_bundle_is_never_replaced(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    """`--out ~` must not cost anybody a home directory."""
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "letter.txt").write_text("dear")

    with pytest.raises(BundleError, match="is not an edge bundle"):
        bundle.write(files, precious)

    assert [p.name for p in _files_below(precious)] == ["letter.txt"]


# -- what is in it -------------------------------------------------------------------------------


def test_nothing_of_the_host_travels_along(files: dict[str, bytes]) -> None:
    """Adapters of a laptop, the host and the console stay behind."""
    ours = {name.removeprefix("src/") for name in files if name.startswith("src/")}

    assert ours.isdisjoint(HOST_MODULES)
    assert [name for name in ours if re.search(r"entry/(host|console|native)", name)] == []
    assert [name for name in ours if name.startswith(("tests/", "scripts/"))] == []


def test_what_the_worker_needs_is_there(files: dict[str, bytes]) -> None:
    """Entry, adapters, schemas, packages with their licences, and migrations beside the sources."""
    wanted = {
        "wrangler.toml",
        "src/main.py",
        "src/worker/entry/edge.py",
        "src/durable/edge.py",
        "src/d1_schema/json/user_profile.v1.json",
        "python_modules/workers/__init__.py",
        "python_modules/fastjsonschema/__init__.py",
        "python_modules/jwt/__init__.py",
    }
    migrations = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("d1_schema/migrations/*.sql")}

    assert wanted | migrations <= set(files)
    licences = [name for name in files if name.endswith("/LICENSE")]
    assert len(licences) == len(vendored.WHEELS)


def test_main_is_a_shim_that_says_where_the_entry_is(files: dict[str, bytes]) -> None:
    """Cloudflare uploads main by its basename, so nothing may depend on where it lies."""
    main_module = files["src/main.py"].decode()

    assert "from worker.entry.edge import *" in main_module
    assert "__file__" not in main_module


def test_the_bundle_is_far_below_the_limit(files: dict[str, bytes]) -> None:
    """3 MiB packed was the free plan's limit until mid 2026, and is ours."""
    assert bundle.sizes(files).gzip < bundle.MAX_GZIP_BYTES


def test_a_bundle_above_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verb ends with exit code 3 and says how large it is; nothing is written."""
    monkeypatch.setattr(bundle, "MAX_GZIP_BYTES", 1000)

    code = main(["edge", "build", "--out", str(tmp_path / "edge")])

    assert code == 3
    assert "at most 1,000 are allowed" in capsys.readouterr().err
    assert not (tmp_path / "edge").exists()


def test_build_prints_raw_and_packed_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures go to stdout, where a script can read them."""
    code = main(["edge", "build", "--out", str(tmp_path / "edge")])

    assert code == 0
    assert re.match(r"\d+ files, [\d,]+ bytes raw, [\d,]+ bytes gzip", capsys.readouterr().out)
    assert (tmp_path / "edge" / "wrangler.toml").is_file()


# -- it loads there ------------------------------------------------------------------------------


def test_every_portable_module_imports_without_the_hosts_packages(built: Path) -> None:
    """Imported in a bare interpreter in which randomness, clocks and sockets refuse."""
    bundle.refuse_import_faults(built)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import aiohttp\n", "No module named 'aiohttp'"),
        ("import os\nKEY = os.urandom(16)\n", "os.urandom"),
        ("import uuid\nclass A:\n    ID = uuid.uuid4()\n", "uuid.uuid4"),
        ("import time\ndef f(now=time.time()):\n    return now\n", "time.time"),
    ],
)
def test_the_guard_names_the_module_that_would_not_load(
    built: Path, source: str, said: str
) -> None:
    """What the lint might overlook, running the imports finds."""
    (built / "src" / "worker" / "planted.py").write_text(source)

    with pytest.raises(BundleError, match=f"worker.planted.*{re.escape(said)}"):
        bundle.refuse_import_faults(built)


# -- vendored packages -----------------------------------------------------------------------------


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    """A changed wheel in the cache does not get into the bundle."""
    for wheel in vendored.WHEELS:
        (tmp_path / wheel.file).write_bytes(b"PK something else")

    with pytest.raises(VendorError, match="is not the pinned wheel of fastjsonschema"):
        vendored.vendored_files(tmp_path)


def test_laptop_and_edge_use_the_same_versions() -> None:
    """Where the host needs a vendored package too, requirements.lock pins the same version."""
    lock = (ROOT / "requirements.lock").read_text().lower()
    pinned = dict(re.findall(r"^([a-z0-9_-]+)==([^\s;]+)", lock, re.MULTILINE))

    for wheel in vendored.WHEELS:
        assert pinned.get(wheel.name, wheel.version) == wheel.version


# -- with Node -------------------------------------------------------------------------------------


def test_the_lock_of_the_tools_names_no_download_host() -> None:
    """Each machine takes the packages from its own registry; the digests are pinned."""
    lock = (toolchain.NODE_FOLDER / "package-lock.json").read_text()

    assert "http" not in re.sub(r'"(funding|url)": .*', "", lock)
    assert json.loads(lock)["packages"]["node_modules/wrangler"]["integrity"]


def test_without_node_the_check_says_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No trace, no half of a check: what is missing and where to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    code = main(["edge", "check", "--no-tests", "--out", str(tmp_path / "edge")])

    assert code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("edgekeep: Node.js 20 or newer (with npm) is needed")


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("tools")
def test_wrangler_takes_the_bundle_without_a_warning(built: Path, tmp_path: Path) -> None:
    """A dry run, with the module set and every binding of wrangler_compat.toml."""
    said = toolchain.dry_run(built, tmp_path / "out")

    for row in tomllib.loads(COMPAT.read_text())["kv_namespaces"]:
        assert f"env.{row['binding']}" in said
    # Twice the vendored packages would mean that wrangler found them twice.
    assert "--dry-run: exiting now." in said
    uploaded = {p.relative_to(tmp_path / "out").as_posix() for p in _files_below(tmp_path / "out")}
    assert {"main.py", "worker/app.py", "d1_schema/json/user_profile.v1.json"} <= uploaded


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("tools")
def test_wrangler_warnings_are_failures(built: Path, tmp_path: Path) -> None:
    """A warning here is a surprise at the edge later."""
    with (built / "wrangler.toml").open("a") as config:
        config.write("\n[unheard_of]\nkey = 1\n")

    with pytest.raises(toolchain.ToolError, match="wrangler warns about the bundle"):
        toolchain.dry_run(built, tmp_path / "out")


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("tools")
def test_the_bundle_loads_in_current_pyodide_and_exports_what_the_runtime_looks_for(
    built: Path,
) -> None:
    """Default and each actor class, made on Cloudflare's own SDK, in Python as of today."""
    report = json.loads(toolchain.startup_report(built))

    assert report["exported_classes"] == sorted(["Default", *ACTORS])


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_tools_fixture_would_notice_a_missing_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """`require_node` is what makes CI fail loudly when Node is not there."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)

    with pytest.raises(toolchain.ToolError, match="none was found"):
        toolchain.require_node()
