"""A state directory: what lies in it, and that its owner alone can read it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

STORED: Final = frozenset({"kv", "d1", "r2", "durable", "outbox"})
"""What a host stores; everything else says who may come in."""
KEPT: Final = frozenset({".dev.vars", "tls", ".DS_Store"})
HOST_FILES: Final = frozenset({"host.lock", "host.json", "host.key"})


def make_private(state: Path) -> None:
    """
    Make *state* readable by its owner alone: what is there, and what this process will make.

    Password hashes and messages lie in it, and the folder may be older than this rule. It may also
    be one that holds other things than ours (`--state .`): those are let be, and so is its own mode
    then. What cannot be changed, on a disk that knows no modes, stays.
    """
    os.umask(0o077)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {entry.name for entry in os.scandir(state)}
    if names <= STORED | KEPT | HOST_FILES:
        _close(state, 0o700)
    for name in sorted(names & (STORED | KEPT | HOST_FILES)):
        path = state / name
        if path.is_dir():
            for folder, mode in _tree(path):
                _close(folder, mode)
        else:
            _close(path, 0o600)


def _tree(top: Path) -> Iterator[tuple[Path, int]]:
    for folder, _, files in os.walk(top):
        yield Path(folder), 0o700
        for name in files:
            yield Path(folder, name), 0o600


def _close(path: Path, mode: int) -> None:
    # The host beside which a verb works may be removing files, and others may own some.
    with suppress(OSError):
        if not path.is_symlink() and path.stat().st_mode & 0o777 & ~mode:
            path.chmod(mode)
