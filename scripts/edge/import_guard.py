"""
Imports every module of a bundle as Cloudflare does when it takes the start-up snapshot.

Run as a program of its own, without site-packages: `python -I -S import_guard.py BUNDLE`. So
packages of the host are out of reach, and randomness, clocks, sockets and new files refuse. Prints
one line for each module that does not load; exit code 1 then.
"""

import importlib
import os
import random
import secrets
import socket
import sys
import time
import uuid
from pathlib import Path
from typing import Any, NoReturn

# Vendored packages that need the JavaScript side; Pyodide loads them (`startup.mjs`).
_NEEDS_JAVASCRIPT = {"workers"}


class ForbiddenAtImportError(Exception):
    """Something happened during an import that the edge refuses."""


def _refuse(name: str) -> Any:
    def refusing(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise ForbiddenAtImportError(f"{name}() was called at import")

    return refusing


def _arm() -> None:
    for owner, names in (
        (os, ("urandom", "getrandom")),
        (random, ("random", "randint", "randrange", "choice", "getrandbits", "shuffle")),
        (secrets, ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "choice")),
        (uuid, ("uuid1", "uuid4")),
        (time, ("time", "time_ns", "sleep")),
        (socket, ("socket", "create_connection")),
    ):
        for name in names:
            setattr(owner, name, _refuse(f"{owner.__name__}.{name}"))


def main(bundle: Path) -> int:
    """Import everything below *bundle*; return the exit code."""
    vendored = bundle / "python_modules"
    sources = bundle / "src"
    sys.path[:0] = [str(sources), str(vendored)]
    sys.dont_write_bytecode = True
    for name in _NEEDS_JAVASCRIPT:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say "there is none"
    names = sorted(_ours(sources)) + sorted(_packages(vendored))
    # The standard library's own start-up work is not ours to judge.
    for name in ("asyncio", "json", "sqlite3", "http.client", "urllib.request", "email.message"):
        importlib.import_module(name)
    _arm()
    failed = 0
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}")
    print(f"{len(names) - failed} of {len(names)} modules load", file=sys.stderr)
    return 1 if failed else 0


def _ours(sources: Path) -> set[str]:
    found = set()
    for path in sources.rglob("*.py"):
        parts = path.relative_to(sources).with_suffix("").parts
        found.add(".".join(part for part in parts if part != "__init__"))
    return found


def _packages(vendored: Path) -> set[str]:
    return {
        path.parent.name
        for path in vendored.glob("*/__init__.py")
        if path.parent.name not in _NEEDS_JAVASCRIPT
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
