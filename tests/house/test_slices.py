"""Slices speak one vocabulary: what has a place in one file stands in no other."""

import ast
import re
import tomllib
from pathlib import PurePosixPath

from tests.house.sources import ROOT, Source, sources

RULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
[SLICES] = [rule["modules"] for rule in RULES if rule["id"] == "slices"]
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|WITH|PRAGMA)\s+\S")
# It looks after the database itself, not after rows of its own.
UPKEEP = "worker/deployment/doors.py"


def of_slices() -> list[Source]:
    """Return the files of all slices."""
    folders = tuple(each.replace(".", "/") + "/" for each in SLICES)
    return [each for each in sources() if each.path.startswith(folders)]


def is_store(source: Source) -> bool:
    """Whether the file is a slice's store, or one file of it."""
    path = PurePosixPath(source.path)
    if path.name == "__init__.py":
        return False
    return "store" in (path.stem, path.parent.name)


def sql_in(source: Source) -> list[str]:
    """Return where texts of SQL stand."""
    return [
        f"{source.path}:{node.lineno}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]


def test_all_sql_of_a_slice_is_in_its_store() -> None:
    """Who looks for what reads or changes a table opens one file a slice."""
    others = [each for each in of_slices() if not is_store(each) and each.path != UPKEEP]

    assert [place for each in others for place in sql_in(each)] == []


def test_sql_is_recognised() -> None:
    """The rule can fail: stores are full of what it looks for."""
    stores = [each for each in of_slices() if is_store(each)]

    assert len(stores) >= 5
    assert all(map(sql_in, stores))
