"""
The viewer that a host ships at worker/entry/viewer/: which package it is, and how it gets there.

`manifest.json` beside the files names package, version, licence, npm's integrity string, and the
SHA-256 of each file. `edgekeep docs --refresh-assets VERSION` fetches the package with npm and
writes both anew; tests/house/test_api_page.py compares.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = "swagger-ui-dist"
FOLDER: Final = Path("worker") / "entry" / "viewer"
MANIFEST: Final = "manifest.json"
FILES: Final = (
    "LICENSE",
    "NOTICE",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)
"""What is taken of the package, byte for byte."""


class ViewerError(Exception):
    """The package cannot be had; the text says why."""


def refresh(checkout: Path, version: str) -> dict[str, Any]:
    """
    Put the viewer of *version* (or a dist-tag such as "latest") into *checkout*.

    Returns the new manifest. Raises `ViewerError` when npm is missing or cannot fetch it.
    """
    with tempfile.TemporaryDirectory() as folder:
        packed = _pack(version, Path(folder))
        with tarfile.open(packed["archive"]) as archive:
            files = {name: _member(archive, name) for name in FILES}
            about = json.loads(_member(archive, "package.json"))
    manifest = {
        "package": PACKAGE,
        "version": about["version"],
        "licence": about["license"],
        "registry": "npm",
        "integrity": packed["integrity"],
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    target = checkout / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (target / name).write_bytes(data)
    text = json.dumps(manifest, indent=2) + "\n"
    (target / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def _pack(version: str, folder: Path) -> dict[str, str]:
    npm = shutil.which("npm")
    if npm is None:
        raise ViewerError("npm is needed to fetch the viewer, and is not installed.")
    done = subprocess.run(  # noqa: S603 - a fixed command; the version is an argument of its own
        [npm, "pack", f"{PACKAGE}@{version}", "--json", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ViewerError(f"npm cannot fetch {PACKAGE}@{version}:\n{done.stderr.strip()}")
    packed = json.loads(done.stdout)[0]
    archive = folder / packed["filename"]
    return {"archive": str(archive), "integrity": packed["integrity"]}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        member = archive.extractfile(f"package/{name}")
    except KeyError:
        member = None
    if member is None:
        raise ViewerError(f"{PACKAGE} no longer has the file {name}.")
    return member.read()
