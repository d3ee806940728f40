"""
The bundle: what Cloudflare gets, made from the checkout alone.

The same sources give the same bytes: no clock, no paths of this machine, everything sorted.
"""

import gzip
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from scripts.edge.closure import find_closure
from scripts.edge.lint import Fault, find_faults
from scripts.edge.toml_text import to_toml
from scripts.edge.vendored import vendored_files
from scripts.edge.wrangler_config import MAIN, SOURCES, derive, migration_folders

ENTRY: Final = "worker.entry.edge"
CONFIG: Final = "wrangler.toml"
MAX_GZIP_BYTES: Final = 3 * 1024 * 1024
"""What Cloudflare's free plan took until mid 2026 (facts/bindings.md E), and what we allow."""

_HEAD: Final = (
    "# Made by `edgekeep edge build` from wrangler_compat.toml: edit that file, not this one.\n"
)
_MAIN: Final = (
    '"""The module that Cloudflare loads; made by `edgekeep edge build`. It may not move."""\n'
    "\n"
    f"from {ENTRY} import *  # noqa: F403  # the entry says what the runtime looks for\n"
)
# Data that portable modules read beside themselves.
_DATA: Final = ("d1_schema/json/*.json", "worker/api_page/files/*")


class BundleError(Exception):
    """The bundle cannot be made; the text says why, one line for each reason."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes: as they are, and packed together as wrangler uploads them."""

    files: int
    raw: int
    gzip: int


def collect(root: Path, compat: Path, cache: Path, environment: str | None) -> dict[str, bytes]:
    """
    Return every file of the bundle by its path in it, sorted.

    Raises:
        BundleError: a module would not work at the edge. VendorError: a wheel is missing.
        ConfigError: wrangler_compat.toml cannot be used.
    """
    document = derive(compat, environment)
    files = {CONFIG: (_HEAD + to_toml(document)).encode(), MAIN: _MAIN.encode()}
    closure = _checked_closure(root)
    for module in closure.values():
        files[f"{SOURCES}/{module.as_posix()}"] = (root / module).read_bytes()
    for pattern in _DATA:
        for name, data in _data(root, root.glob(pattern)).items():
            files[f"{SOURCES}/{name}"] = data
    for folder in migration_folders(document):
        files |= _migrations(compat.parent, folder)
    for name, data in vendored_files(cache).items():
        files[f"python_modules/{name}"] = data
    return dict(sorted(files.items()))


def _checked_closure(root: Path) -> dict[str, Path]:
    try:
        closure = find_closure(root, ENTRY)
    except (FileNotFoundError, SyntaxError) as error:
        raise BundleError(str(error)) from None
    faults = find_faults(closure)
    if faults:
        raise BundleError(_report(faults))
    return {name: module.path for name, module in closure.modules.items()}


def _report(faults: list[Fault]) -> str:
    lines = [f"{len(faults)} lines would not work at the edge:", *(f"  {f}" for f in faults)]
    return "\n".join(lines)


def _data(root: Path, paths: Any) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths)}


def _migrations(base: Path, folder: PurePosixPath) -> dict[str, bytes]:
    """Read the migrations: wrangler applies them, the Worker never sees them."""
    if folder.is_absolute() or ".." in folder.parts:
        raise BundleError(f"migrations_dir {folder} must lie below the configuration's folder.")
    return _data(base, (base / folder).glob("*.sql"))


def sizes(files: Mapping[str, bytes]) -> Sizes:
    """Return the sizes of what is uploaded: our modules and the vendored ones."""
    folders = (f"{SOURCES}/", "python_modules/")
    uploaded = [data for name, data in sorted(files.items()) if name.startswith(folders)]
    packed = gzip.compress(b"".join(uploaded), mtime=0)
    return Sizes(len(uploaded), sum(map(len, uploaded)), len(packed))


def write(files: Mapping[str, bytes], out: Path) -> None:
    """
    Put *files* at *out*, replacing an earlier bundle there as a whole.

    Raises:
        BundleError: *out* exists and is not a bundle; nothing is touched then.
    """
    if out.exists() and not _is_bundle(out):
        raise BundleError(f"{out} exists and is not an edge bundle; choose another --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        made.chmod(0o755)
        for name, data in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if out.exists():
            shutil.rmtree(out)
        made.replace(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _is_bundle(out: Path) -> bool:
    if not out.is_dir():
        return False
    try:
        return (out / CONFIG).read_text(encoding="utf-8").startswith(_HEAD)
    except FileNotFoundError:
        return not any(out.iterdir())


def refuse_import_faults(out: Path) -> None:
    """
    Import every module of the bundle without the host's packages, randomness, clock or network.

    Raises:
        BundleError: a module does not load so.
    """
    guard = Path(__file__).with_name("import_guard.py")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-S", str(guard), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        detail = done.stdout.strip() or done.stderr.strip()
        raise BundleError(f"These modules do not load as the edge loads them:\n{detail}")
