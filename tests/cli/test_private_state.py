"""What lies in a state directory is its owner's alone, whatever the umask, whatever was before."""

import os
import stat
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Edgekeep, running_server


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Run the block, and processes that it starts, under *mask*."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(state: Path) -> list[str]:
    """Return what others than its owner may touch, *state* itself too."""
    paths = [state, *state.rglob("*")]
    return [f"{path} {path.stat().st_mode:o}" for path in paths if path.stat().st_mode & 0o077]


def use(edgekeep: Edgekeep, state: Path) -> None:
    """Have a host write into each of its stores, and verbs beside it."""
    with running_server(state) as server:
        edgekeep("import", "examples/profiles.ndjson", "--state", state)
        edgekeep("r2", "object", "put", "edgekeep-blobs/a", "--file", "README.md", "--state", state)
        edgekeep("kv", "key", "put", "k", "v", "--binding", "PROFILES_KV", "--state", state)
        edgekeep("account", "create", "ada", "--state", state)
        request = urllib.request.Request(
            f"{server.url}/api/auth/magic-link",
            data=b'{"email": "ada@example.org"}',
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.status < 300
        assert open_to_others(state) == []
        assert server.stop() == 0
    made = {path.relative_to(state).parts[0] for path in state.rglob("*")}
    assert {"kv", "d1", "r2", "durable", "outbox", ".dev.vars"} <= made


@pytest.mark.parametrize("mask", [0, 0o022])
def test_everything_that_is_made_is_private(edgekeep: Edgekeep, tmp_path: Path, mask: int) -> None:
    """In a folder that was there already, open to all."""
    state = tmp_path / "state"
    with umask(mask):
        state.mkdir()
        use(edgekeep, state)
    assert open_to_others(state) == []


def test_what_was_open_is_closed(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """A state of an older version: by a host, and by a verb alone."""
    state = tmp_path / "state"
    use(edgekeep, state)
    words = ("kv", "key", "list", "--binding", "PROFILES_KV", "--state", state)
    for start in (lambda: edgekeep(*words), lambda: use(edgekeep, state)):
        for path in [state, *state.rglob("*")]:
            path.chmod(0o777 if path.is_dir() else 0o666)
        start()
        assert open_to_others(state) == []


def test_verbs_alone_make_private_files(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Each that opens a store, without a host and in a new state."""
    verbs: list[tuple[str, ...]] = [
        ("kv", "key", "put", "k", "v", "--binding", "PROFILES_KV"),
        ("d1", "migrations", "apply", "DB"),
        ("d1", "execute", "DB", "--command", "SELECT 1"),
        ("r2", "object", "put", "edgekeep-blobs/a", "--file", "README.md"),
        ("account", "list"),
        ("cron", "run", "17 3 * * *"),
    ]
    with umask(0):
        for number, verb in enumerate(verbs):
            state = tmp_path / str(number)
            state.mkdir()
            done = edgekeep(*verb, "--state", state)
            assert done.returncode == 0, done.stderr
            assert open_to_others(state) == [], verb


def test_what_is_not_ours_keeps_its_mode(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """In a folder with other things in it only our own entries are closed."""
    script, folder = tmp_path / "run.sh", tmp_path / "src"
    script.write_text("#!/bin/sh\n")
    folder.mkdir()
    for path in (tmp_path, script, folder):
        path.chmod(0o755)
    edgekeep("kv", "key", "put", "k", "v", "--binding", "PROFILES_KV", "--state", tmp_path)
    for path in (tmp_path, script, folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert open_to_others(tmp_path / "kv") == []
