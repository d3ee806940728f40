"""
What a module of the edge bundle may not do, found in its source (facts/bindings.md F4, F8).

Two kinds: imports of what the edge lacks, and calls at import time of what Cloudflare forbids while
it takes the start-up snapshot. `import_guard.py` proves the same by running the imports.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scripts.edge.closure import OURS, Closure, Module, is_for_type_checkers

VENDORED: Final = frozenset({"dilithium_py", "fastjsonschema", "google", "jwt", "workers"})
"""Top-level names that python_modules/ brings."""

RUNTIME: Final = frozenset({"js", "pyodide"})
"""Top-level names that the edge runtime itself brings."""

# In the standard library here and missing, or without function, in Pyodide.
NOT_AT_THE_EDGE: Final = frozenset(
    {"curses", "dbm", "ensurepip", "fcntl", "grp", "idlelib", "lib2to3", "mmap", "msvcrt", "nis"}
    | {"multiprocessing", "nt", "pty", "pwd", "readline", "resource", "signal", "socket"}
    | {"socketserver", "spwd", "subprocess", "syslog", "termios", "threading", "tkinter", "tty"}
    | {"turtle", "venv", "winreg", "winsound"}
)

_ENTROPY = "takes randomness, which the edge refuses while it loads modules"
_CLOCK = "reads the clock, and would freeze the moment of the deploy"
_DISK_OR_NET = "does I/O, which the edge refuses while it loads modules"
_LOOP = "needs a running event loop, and there is none while modules load"

_AT_IMPORT: Final = {
    "os.urandom": _ENTROPY,
    "os.getrandom": _ENTROPY,
    "uuid.uuid1": _ENTROPY,
    "uuid.uuid4": _ENTROPY,
    "secrets.": _ENTROPY,
    "random.": _ENTROPY,
    "ssl.create_default_context": _ENTROPY,
    "email.utils.make_msgid": _ENTROPY,
    "time.time": _CLOCK,
    "time.time_ns": _CLOCK,
    "time.monotonic": _CLOCK,
    "time.perf_counter": _CLOCK,
    "datetime.datetime.now": _CLOCK,
    "datetime.datetime.utcnow": _CLOCK,
    "datetime.datetime.today": _CLOCK,
    "datetime.date.today": _CLOCK,
    "open": _DISK_OR_NET,
    "os.open": _DISK_OR_NET,
    "os.listdir": _DISK_OR_NET,
    "sqlite3.connect": _DISK_OR_NET,
    "urllib.request.": _DISK_OR_NET,
    "asyncio.run": _LOOP,
    "asyncio.create_task": _LOOP,
    "asyncio.ensure_future": _LOOP,
    "asyncio.get_event_loop": _LOOP,
    "asyncio.get_running_loop": _LOOP,
}
# Methods of paths, whatever the path expression looks like.
_PATH_METHODS: Final = frozenset({"read_text", "read_bytes", "write_text", "write_bytes"})
# Generators that are seeded, or only constructed, are fine at import.
_HARMLESS: Final = frozenset({"random.Random", "random.SystemRandom"})

_NEVER: Final = {
    "time.sleep": "blocks the isolate for good; await asyncio.sleep, or env.tools.pause",
    "os.fork": "there are no processes at the edge",
    "os.system": "there are no processes at the edge",
    "hashlib.scrypt": "is too slow for the edge's CPU limit; use the crypto port",
    "hashlib.pbkdf2_hmac": "is too slow for the edge's CPU limit; use the crypto port",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One line that would not work at the edge."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def find_faults(closure: Closure) -> list[Fault]:
    """Return what in *closure* would not work at the edge, in the order of files and lines."""
    faults: list[Fault] = []
    for module in closure.modules.values():
        faults += _import_faults(module, closure)
        faults += _call_faults(module)
    return sorted(faults, key=lambda fault: (fault.path, fault.line))


def _import_faults(module: Module, closure: Closure) -> Iterator[Fault]:
    for item in module.imports:
        top = item.module.partition(".")[0]
        if item.is_guess or top in OURS | VENDORED | RUNTIME:
            continue
        if top in NOT_AT_THE_EDGE:
            reason = "which Python at the edge does not have"
        elif top not in sys.stdlib_module_names:
            reason = "a package that is not in the edge bundle"
        else:
            continue
        chain = closure.chain(module.name)
        text = f"imports {item.module}, {reason}. The edge comes here by {chain}."
        yield Fault(module.path.as_posix(), item.line, text)


def _call_faults(module: Module) -> Iterator[Fault]:
    names = _imported_names(module.tree)
    path = module.path.as_posix()
    for call in _calls(ast.walk(module.tree)):
        called = _dotted(call.func, names)
        if called in _NEVER:
            yield Fault(path, call.lineno, f"{called}() {_NEVER[called]}.")
    for call in _calls(_at_import(module.tree)):
        called = _dotted(call.func, names)
        reason = _reason(called)
        if isinstance(call.func, ast.Attribute) and call.func.attr in _PATH_METHODS:
            called, reason = call.func.attr, _DISK_OR_NET
        if reason is not None:
            yield Fault(path, call.lineno, f"{called}() at import {reason}. Do it when called.")


def _reason(called: str) -> str | None:
    if called in _HARMLESS:
        return None
    package = called.rpartition(".")[0] + "."
    return _AT_IMPORT.get(called) or _AT_IMPORT.get(package)


def _calls(nodes: Iterator[ast.AST]) -> Iterator[ast.Call]:
    return (node for node in nodes if isinstance(node, ast.Call))


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs when the module is imported: no bodies of functions, but their decorators."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            defaults = [default for default in child.args.kw_defaults if default is not None]
            for part in (*child.decorator_list, *child.args.defaults, *defaults):
                yield from _at_import(part)
        elif isinstance(child, ast.If) and is_for_type_checkers(child.test):
            continue
        elif not isinstance(child, ast.Lambda):
            yield from _at_import(child)


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Map each name that an import binds to what it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                names[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _dotted(expression: ast.expr, names: dict[str, str]) -> str:
    """Return "module.attribute" for a name or an attribute of one, "" for everything else."""
    if isinstance(expression, ast.Name):
        return names.get(expression.id, expression.id)
    if isinstance(expression, ast.Attribute):
        base = _dotted(expression.value, names)
        return f"{base}.{expression.attr}" if base else ""
    return ""
