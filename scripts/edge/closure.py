"""
Which of our modules the edge needs: everything that its entry imports, and what those import.

Imports are read from the source, also those inside functions (they run at the edge, only later);
nothing is executed. Imports for type checkers alone are left out.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

OURS = frozenset({"worker", "kv", "r2", "d1_schema", "durable"})


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement: the module it names (a guess may be an attribute) and its line."""

    module: str
    line: int
    is_guess: bool = False


@dataclass(frozen=True, slots=True)
class Module:
    """One of our modules: dotted name, path below the root, syntax tree."""

    name: str
    path: Path
    tree: ast.Module
    imports: tuple[Import, ...]


@dataclass(slots=True)
class Closure:
    """The modules reached from an entry. *came_from* names who imported a module first."""

    modules: dict[str, Module] = field(default_factory=dict)
    came_from: dict[str, str] = field(default_factory=dict)

    def chain(self, name: str) -> str:
        """Return how *name* was reached, e.g. "worker.entry.edge -> worker.app -> worker.web"."""
        steps = [name]
        while (before := self.came_from.get(steps[-1])) is not None:
            steps.append(before)
        return " -> ".join(reversed(steps))


def find_closure(root: Path, entry: str) -> Closure:
    """
    Return every module of ours that *entry* (a dotted name) reaches below *root*.

    Raises:
        FileNotFoundError: the entry, or a module that an import names, does not exist.
        SyntaxError: a module is not valid Python.
    """
    closure = Closure()
    waiting: list[tuple[str, str | None]] = [(entry, None)]
    while waiting:
        name, importer = waiting.pop()
        for part in _with_packages(name):
            if part in closure.modules:
                continue
            path = module_path(root, part)
            if path is None:
                raise FileNotFoundError(f"{importer or 'the build'} imports {part}: no such module")
            if importer is not None:
                closure.came_from[part] = importer
            module = closure.modules[part] = read_module(root, part, path)
            waiting += [(target, part) for target in _ours_of(root, module)]
    closure.modules = dict(sorted(closure.modules.items()))
    return closure


def read_module(root: Path, name: str, path: Path) -> Module:
    """Parse the module at *path*."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return Module(name, path.relative_to(root), tree, tuple(_imports(tree)))


def module_path(root: Path, name: str) -> Path | None:
    """Return the file of the module *name*, or None."""
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _with_packages(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _ours_of(root: Path, module: Module) -> Iterator[str]:
    for item in module.imports:
        if item.module.partition(".")[0] not in OURS:
            continue
        # `from package import name`: a module when there is a file, else something in the package.
        if not item.is_guess or module_path(root, item.module) is not None:
            yield item.module


def _imports(tree: ast.Module) -> Iterator[Import]:
    for node in _running(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield Import(node.module, node.lineno)
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", node.lineno, is_guess=True)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree without what only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_for_type_checkers(child.test):
            for other in child.orelse:
                yield from _running(other)
        else:
            yield from _running(child)


def is_for_type_checkers(test: ast.expr) -> bool:
    """Whether *test* is `TYPE_CHECKING`."""
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
