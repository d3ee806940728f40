"""Fixtures for the command line: running it as a process, and a server of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.cli.sample import demo_profile
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
EDGEKEEP = Path(sys.executable).parent / "edgekeep"

Run = subprocess.CompletedProcess[str]
Edgekeep = Callable[..., Run]


def command(*words: str | Path) -> list[str]:
    """Return the command line of `edgekeep` with *words*."""
    return [str(EDGEKEEP), *map(str, words)]


def environment(**changes: str) -> dict[str, str]:
    """Return our environment without what would change the settings of a child."""
    # Children may keep their compiled modules: it halves their start.
    ours = ("EDGEKEEP_", "PYTHONDONTWRITEBYTECODE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**clean, **changes}


def run_edgekeep(*words: str | Path, stdin: bytes = b"", cwd: Path = ROOT, **variables: str) -> Run:
    """Run `edgekeep` to its end; output is text."""
    done = subprocess.run(
        command(*words),
        input=stdin,
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    return Run(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="session")
def edgekeep() -> Edgekeep:
    """The command, as a function: edgekeep("profiles", "count") -> CompletedProcess."""
    return run_edgekeep


@dataclass
class Server:
    """A child that runs `edgekeep dev`."""

    url: str
    port: int
    state: Path
    process: subprocess.Popen[str]

    def stop(self) -> int:
        """End it with SIGTERM and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def running_server(state: Path, *words: str, **variables: str) -> Iterator[Server]:
    """Run `edgekeep dev` with *words* on *state* until the block ends."""
    port = free_port()
    process = subprocess.Popen(
        command("dev", "--port", str(port), "--state", state, *words),
        cwd=ROOT,
        env=environment(**variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = ""
    try:
        assert process.stderr is not None
        while "is ready at" not in said:
            line = process.stderr.readline()
            assert line, f"the server did not start: {said}"
            said += line
        yield Server(f"http://127.0.0.1:{port}", port, state, process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that several tests share; each uses profiles of its own."""
    with running_server(tmp_path_factory.mktemp("server") / "state") as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which may stop it."""
    with running_server(tmp_path / "state") as running:
        yield running


def profile_lines(start: int, count: int) -> str:
    """Return *count* valid lines, numbered from *start*."""
    return "".join(
        json.dumps(demo_profile(number)) + "\n" for number in range(start, start + count)
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*, looking often, and fail when it never comes."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
