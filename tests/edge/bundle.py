"""
What goes to the edge: the portable modules, their data files and the pure-Python packages.

The set is what can be reached from an entry module by its imports, lazy ones included, so that
nothing of a laptop (SQLite files, aiohttp) travels along.
"""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("worker", "kv", "d1_schema", "r2", "durable", "tests")
# Pure-Python packages that the portable modules import. PyJWT's optional parts stay behind.
VENDORED = ("fastjsonschema", "jwt")
_DATA = ("d1_schema/json/*.json",)


def modules(*entries: Path) -> dict[str, Path]:
    """Return path in the bundle -> file, for all that *entries* (files below ROOT) need."""
    found: dict[str, Path] = {}
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        name = str(path.relative_to(ROOT))
        if name in found:
            continue
        found[name] = path
        waiting.extend(_imported(path))
        # Importing a module imports the packages above it.
        waiting.extend(
            folder / "__init__.py"
            for folder in path.parents
            if ROOT in folder.parents and (folder / "__init__.py").exists()
        )
    for pattern in _DATA:
        found |= {str(path.relative_to(ROOT)): path for path in ROOT.glob(pattern)}
    return found


def vendored() -> dict[str, Path]:
    """Return path in the bundle -> file of the packages installed beside us."""
    found: dict[str, Path] = {}
    for name in VENDORED:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        found |= {str(path.relative_to(folder.parent)): path for path in folder.rglob("*.py")}
    return found


def _imported(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from _files(node.module)
            for alias in node.names:
                yield from _files(f"{node.module}.{alias.name}")


def _files(name: str) -> Iterator[Path]:
    parts = name.split(".")
    if parts[0] in _OURS:
        place = ROOT.joinpath(*parts)
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.exists():
                yield path
