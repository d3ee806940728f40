"""
What a host tells the programs of this machine, in the state directory that it serves.

`host.lock` is held while it runs: actors live in one process only. `host.json` says where it
answers and by which certificate it is known, `host.key` opens its console. The two count only while
the lock is held: then the host has the port, so nobody else can stand where it says.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from worker.entry.private_file import write_private
from worker.entry.state_folder import make_private

_LOCK: Final = "host.lock"
_RECORD: Final = "host.json"
_KEY: Final = "host.key"


class InUse(Exception):  # noqa: N818 - a state, for callers who say it in their own words
    """Another process holds the state."""


@contextlib.contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold *state* meanwhile; raises `InUse`."""
    make_private(state)
    with (state / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUse from None
        # A host that was killed could not take back what it said.
        _forget(state)
        yield


@contextlib.contextmanager
def recorded(state: Path, about: Mapping[str, Any], key: str) -> Iterator[None]:
    """Hold *state* and tell of this process meanwhile; raises `InUse`."""
    with held(state):
        write_private(state / _KEY, f"{key}\n".encode())
        write_private(state / _RECORD, (json.dumps({"pid": os.getpid(), **about}) + "\n").encode())
        try:
            yield
        finally:
            _forget(state)


def is_held(state: Path) -> bool:
    """Whether a host, or a verb that works alone, holds *state* now."""
    try:
        with (state / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def record(state: Path) -> dict[str, Any]:
    """Return what the host that runs on *state* tells, with its `key`; {} when none runs."""
    if not is_held(state):
        return {}
    try:
        about = json.loads((state / _RECORD).read_text())
        return {**about, "key": (state / _KEY).read_text().strip()}
    except (OSError, ValueError):
        return {}


def _forget(state: Path) -> None:
    for name in (_RECORD, _KEY):
        (state / name).unlink(missing_ok=True)
