"""Child processes that the benchmarks measure: start, wait until they answer, watch, stop."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
MINIFLARE = ROOT / "benchmarks" / "miniflare"
POLL_SECONDS = 0.002


class ServerError(Exception):
    """A server could not be started; the text ends with its last lines."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a new directory in the temporary folder and remove it with all it holds."""
    directory = Path(tempfile.mkdtemp(prefix="edgekeep-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Server:
    """A child process that serves HTTP on `port` of 127.0.0.1."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        *,
        log: Path,
        cwd: Path = ROOT,
        environment: dict[str, str] | None = None,
    ) -> None:
        if shutil.which(command[0]) is None:
            raise ServerError(f"{command[0]} is not there")
        self.port = port
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                list(command),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_for_answer(self, path: str = "/healthz", timeout: float = 30.0) -> float:
        """Wait until GET `path` gets any answer; return the time.perf_counter() of that moment."""
        deadline = time.perf_counter() + timeout
        while time.perf_counter() < deadline:
            if self._process.poll() is not None:
                break
            if status_of(self.port, path) is not None:
                return time.perf_counter()
            time.sleep(POLL_SECONDS)
        self.stop()
        tail = self._log.read_text(errors="replace").splitlines()[-15:]
        raise ServerError("\n".join([f"no answer on port {self.port}; its log ends:", *tail]))

    def resident_bytes(self) -> int:
        """Return the resident memory of the process and its descendants (VmRSS)."""
        return sum(_resident(pid) for pid in _family(self.pid))

    def cpu_seconds(self) -> float:
        """Return the processor time that the process and its descendants have used."""
        return sum(_processor_time(pid) for pid in _family(self.pid))

    def stop(self) -> None:
        """End the process group: first with SIGTERM, after five seconds with SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                os.killpg(self.pid, number)
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                continue
            return


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    directory: Path,
    *,
    health: str = "/healthz",
    cwd: Path = ROOT,
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server until the block ends; its output goes to a log file in `directory`."""
    log = directory / f"server-{port}.log"
    server = Server(command, port, log=log, cwd=cwd, environment=environment)
    try:
        server.wait_for_answer(health)
        yield server
    finally:
        server.stop()


def bare(directory: Path, body: bytes, *, uvloop: bool) -> AbstractContextManager[Server]:
    """Run the bare handler that returns `body` on /api/profiles/item."""
    port = free_port()
    file = directory / f"body-{port}"
    file.write_bytes(body)
    command = [sys.executable, "-m", "benchmarks.reference_bare", f"--port={port}"]
    command += [f"--body={file}", *(["--uvloop"] if uvloop else [])]
    return running(command, port, directory, health="/api/profiles/item")


def miniflare(directory: Path) -> AbstractContextManager[Server]:
    """Run the JavaScript Worker with its stores below `directory`; install it when needed."""
    node = shutil.which("node")
    if node is None:
        raise ServerError("Node.js (18 or newer) is needed to measure miniflare")
    if not (MINIFLARE / "node_modules" / "miniflare").is_dir():
        print("installing miniflare (npm ci) ...", flush=True)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=MINIFLARE, check=True)
    port = free_port()
    command = [node, "serve.mjs", str(port), str(directory / "miniflare")]
    return running(command, port, directory, cwd=MINIFLARE)


def status_of(port: int, path: str) -> int | None:
    """Return the status of GET `path`, or None while nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _family(pid: int) -> list[int]:
    """The process and all its descendants that still live."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(sizes[0]) * 1024 if sizes else 0


def _processor_time(pid: int) -> float:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
