"""Tests stand where callers stand: none reaches through an object for what it keeps private."""

import ast
from collections.abc import Iterator

from tests.house.sources import sources

# What has an underscore and is public all the same: methods of named tuples.
PUBLIC = frozenset({"_asdict", "_fields", "_make", "_replace"})
OWN = frozenset({"self", "cls"})


def reaches(tree: ast.AST) -> Iterator[int]:
    """
    Yield the lines on which something private is reached through two objects.

    `unit._part` looks into the one thing that is tested, `self._part` into oneself. Behind another
    object (`host.env._part`, `make()._part`), or with more behind it (`unit._part.more`), it is a
    house of somebody else.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if _is_private(node.attr) and not isinstance(node.value, ast.Name):
                yield node.lineno
            inner = node.value
            if isinstance(inner, ast.Attribute) and _is_private(inner.attr):
                owner = inner.value
                if not (isinstance(owner, ast.Name) and owner.id in OWN):
                    yield node.lineno


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def test_no_test_reaches_through_two_objects() -> None:
    """What a test needs to set or see has a public way: a door, a tool, what the runtime tells."""
    found = [
        f"{each.path}:{line}"
        for each in sources()
        if each.is_test
        for line in sorted(set(reaches(each.tree)))
    ]

    assert found == []


def test_reaching_is_recognised() -> None:
    """The rule sees each way of doing it, and none where there is none."""
    offences = ("a.b._c", "a()._b", "a[0]._b", "a._b.c", "a.b._c = 1", "self.a._b")
    clean = ("a._b", "a._b = 1", "self._a.b", "a.b._asdict()", "a.b.c", "a.b.__class__")

    assert [one for one in offences if not list(reaches(ast.parse(one)))] == []
    assert [one for one in clean if list(reaches(ast.parse(one)))] == []
