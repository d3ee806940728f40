"""The Python files of this repository, parsed once for all house tests."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("worker", "kv", "d1_schema", "r2", "durable", "clients", "scripts")
FOLDERS = (*PRODUCT, "tests", "benchmarks")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file: its path from the root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Number of lines."""
        return self.text.count("\n")

    @property
    def is_test(self) -> bool:
        """Whether it lies below tests/."""
        return self.path.startswith("tests/")

    def functions(self) -> Iterator[Function]:
        """Yield every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node


@cache
def sources() -> tuple[Source, ...]:
    """Return every Python file of ours."""
    paths = sorted(
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        # Generated code answers to its generator.
        if "node_modules" not in path.parts and not path.stem.endswith("_pb2")
    )
    return tuple(
        Source(str(path.relative_to(ROOT)), text, ast.parse(text))
        for path in paths
        for text in [path.read_text(encoding="utf-8")]
    )
