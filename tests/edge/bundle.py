"""
The test bundle: what `edgekeep edge build` makes, and the test entry in place of main.py.

The runtime of the tests (2024) knows neither `python_modules/` nor the SDK: packages lie beside the
modules there, and the SDK stays behind.
"""

from pathlib import Path

from scripts.edge.bundle import collect
from scripts.edge.closure import find_closure
from scripts.edge.wrangler_config import SOURCES

ROOT = Path(__file__).resolve().parents[2]
# The module by which workerd knows a Worker: the first one, in the root of all modules.
_MAIN = "main.py"
_TEST_ENTRY = "tests.edge.inside.main"
_TEST_MODULES = (
    _TEST_ENTRY,
    "tests.edge.inside.door",
    "tests.edge.inside.ports",
    "tests.edge.inside.relay",
    "tests.edge.inside.streaming",
    "tests.support.crypto_vectors",
)
_PACKAGES = ("dilithium_py/", "fastjsonschema/", "google/", "jwt/")
_VENDORED = "python_modules/"


def built() -> dict[str, bytes]:
    """Return the files of `edgekeep edge build` by their path in the bundle."""
    return collect(ROOT, ROOT / "wrangler_compat.toml", ROOT / "build" / "wheels", None)


def bundle_for_tests() -> dict[str, bytes]:
    """Return the modules and data that workerd gets: the build, laid out for the older runtime."""
    files: dict[str, bytes] = {}
    for path, data in built().items():
        package = path.removeprefix(_VENDORED)
        if path.startswith(f"{SOURCES}/"):
            files[path.removeprefix(f"{SOURCES}/")] = data
        elif package != path and package.startswith(_PACKAGES):
            files[package] = data
    for entry in _TEST_MODULES:
        for module in find_closure(ROOT, entry).modules.values():
            files[module.path.as_posix()] = (ROOT / module.path).read_bytes()
    files["apsw.py"] = (ROOT / "tests/edge/inside/sqlite_standin.py").read_bytes()
    files[_MAIN] = (ROOT / (_TEST_ENTRY.replace(".", "/") + ".py")).read_bytes()
    return files


def as_modules(files: dict[str, bytes]) -> list[dict[str, str]]:
    """Return *files* as Miniflare takes them: the entry first, by which workerd knows it."""
    return [
        {"type": _type(path), "path": path, "contents": files[path].decode()}
        for path in sorted(files, key=lambda path: (path != _MAIN, path))
    ]


def _type(path: str) -> str:
    """Return the type that wrangler gives a file of a bundle."""
    if path.startswith(_VENDORED):
        return "Data"
    return "PythonModule" if path.endswith(".py") else "Text"
