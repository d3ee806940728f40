"""
The pure-Python packages that go with the bundle, taken from pinned wheels.

The wheels come from the package index once, are checked against their SHA-256 and stay in a cache;
a second build needs no network. Licences travel with the code.
"""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Wheel:
    """One package: *left_out* are paths (or folders, ending in "/") that the edge never loads."""

    name: str
    version: str
    file: str
    sha256: str
    left_out: tuple[str, ...] = ()


_PROTOBUF_UNUSED: Final = (
    *("any", "any_pb2", "api_pb2", "duration", "duration_pb2", "empty_pb2", "field_mask_pb2"),
    *("json_enumvalue_options_pb2", "json_format", "json_options_pb2", "proto", "proto_builder"),
    *("proto_json", "proto_text", "service_reflection", "source_context_pb2", "struct_pb2"),
    *("timestamp", "timestamp_pb2", "type_pb2", "wrappers_pb2"),
)

WHEELS: Final = (
    Wheel(
        "fastjsonschema",
        "2.22.3",
        "fastjsonschema-2.22.3-py3-none-any.whl",
        "f670b443830b75aca3f00b75949efa20f4b2a80302ec7a21505c28dd54cffd43",
        ("fastjsonschema/__main__.py",),
    ),
    Wheel(
        "dilithium-py",
        "1.5.1",
        "dilithium_py-1.5.1-py3-none-any.whl",
        "21ab0cbd56e959d22b9dca59bd8af0e2a6f73703b14ad71d483ecf70438c73d7",
        # The draft before the standard, a generator for its tests, and key files.
        ("dilithium_py/dilithium/", "dilithium_py/drbg/", "dilithium_py/ml_dsa/pkcs.py"),
    ),
    Wheel(
        "protobuf",
        "7.36.2",
        "protobuf-7.36.2-py3-none-any.whl",
        "bdb3a345d48db958e6ce1f18e508beb0cc981d64f24088427549c866cd039f1e",
        # The compiler's side, the well-known types and the text and JSON forms: frames have none.
        (
            *(f"google/protobuf/{name}.py" for name in _PROTOBUF_UNUSED),
            "google/protobuf/compiler/",
            "google/protobuf/internal/testing_refleaks.py",
            "google/protobuf/internal/json_format_benchmark.py",
            "google/protobuf/internal/message_benchmark.py",
            "google/protobuf/pyext/cpp_message.py",
            "google/protobuf/util/",
        ),
    ),
    Wheel(
        "pyjwt",
        "2.15.1",
        "pyjwt-2.15.1-py3-none-any.whl",
        "42d59d631f7768a1028a64c7ff581a9bf7519804daf91fc5b6c56e30eec5e193",
        ("jwt/help.py",),
    ),
    Wheel(
        "workers-runtime-sdk",
        "1.9.5",
        "workers_runtime_sdk-1.9.5-py3-none-any.whl",
        "f2b912660a3ab60d2a24920106422f9eaf4cd7a794e42b022237ad2444287fef",
        # Adapters to ASGI and WSGI, and the JavaScript half of Workflows: we have none of them.
        (
            "asgi.py",
            "workers/asgi.py",
            "workers/wsgi.py",
            "workers/gateway/",
            "workers/workflows.js",
        ),
    ),
)
"""Also pinned in requirements.lock, where the host needs the package too (a test compares)."""


class VendorError(Exception):
    """A wheel cannot be had; the text is a sentence for the person at the terminal."""


def vendored_files(cache: Path) -> dict[str, bytes]:
    """
    Return the files of python_modules/ by their path in it.

    Raises:
        VendorError: a wheel is neither in *cache* nor to be downloaded, or is not the pinned one.
    """
    files: dict[str, bytes] = {}
    for wheel in WHEELS:
        files |= _read(wheel, _fetch(wheel, cache))
    return files


def _fetch(wheel: Wheel, cache: Path) -> Path:
    path = cache / wheel.file
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        _download(wheel, cache)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != wheel.sha256:
        raise VendorError(
            f"{path} is not the pinned wheel of {wheel.name} {wheel.version} "
            f"(SHA-256 {digest}); delete it and build again."
        )
    return path


def _download(wheel: Wheel, cache: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # The form in pure Python, also where there is one for this machine.
    command += ["--platform", "any", "--implementation", "py", "--abi", "none"]
    command += ["--only-binary=:all:", "--dest", str(cache), f"{wheel.name}=={wheel.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0 or not (cache / wheel.file).is_file():
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise VendorError(
            f"{wheel.name} {wheel.version} could not be downloaded ({said}). The first build needs "
            f"the package index; later ones use {cache}."
        )


def _read(wheel: Wheel, path: Path) -> Mapping[str, bytes]:
    files = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("/") and _is_wanted(wheel, name):
                files[name] = archive.read(name)
    return files


def _is_wanted(wheel: Wheel, name: str) -> bool:
    folder = name.partition("/")[0]
    if folder.endswith(".dist-info"):
        # Licences and the name of what this is; RECORD and the like describe the wheel.
        return "/licenses/" in name or name.endswith(("/METADATA", "/LICENSE"))
    if name.endswith((".pyi", "/py.typed")):
        return False
    return not any(
        name == left or (left.endswith("/") and name.startswith(left)) for left in wheel.left_out
    )
