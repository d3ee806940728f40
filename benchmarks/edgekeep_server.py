"""Our own server under measurement: start it, get a token, import profiles through its door."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.servers import ROOT, Server, ServerError, free_port, running

EDGEKEEP = Path(sys.executable).parent / "edgekeep"
HOST_SOURCE = ROOT / "worker" / "entry" / "host.py"
IMPORT_TIMEOUT = 900
BLOCK = 1 << 18


def host_uses_uvloop() -> bool:
    """Whether the host runs on uvloop, so that the bare handler runs on the same loop."""
    return "uvloop" in HOST_SOURCE.read_text(encoding="utf-8")


def dev_command(port: int, state: Path) -> list[str]:
    """Return the command that starts the server as its users do."""
    return [str(EDGEKEEP), "dev", "--port", str(port), "--state", str(state)]


def dev(directory: Path, state: Path, **variables: str) -> AbstractContextManager[Server]:
    """Run `edgekeep dev` on `state`; `variables` are added to its environment."""
    port = free_port()
    return running(dev_command(port, state), port, directory, environment=variables)


def with_doors(directory: Path, state: Path, **variables: str) -> AbstractContextManager[Server]:
    """Run the host with the extra routes of benchmarks/bench_doors.py."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bench_doors", f"--port={port}"]
    command.append(f"--state={state}")
    return running(command, port, directory, environment=variables)


def token(state: Path, scope: str = "profiles:import") -> str:
    """Return a development token; raise ServerError with the command's own words."""
    command = [str(EDGEKEEP), "token", "--scope", scope, "--state", str(state)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerError(f"edgekeep token failed: {done.stderr.strip()}")
    return done.stdout.split()[-1]


@dataclass(frozen=True)
class Imported:
    """An import's answer and how long it took, in seconds."""

    status: int
    report: Any
    seconds: float


def import_file(server: Server, bearer: str, source: Path) -> Imported:
    """Post `source` to the import door, streaming; raise ServerError unless it is a success."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=IMPORT_TIMEOUT, blocksize=BLOCK
    )
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Content-Type": "application/x-ndjson",
        "Content-Length": str(source.stat().st_size),
    }
    with source.open("rb") as body:
        began = time.perf_counter()
        connection.request("POST", "/api/profiles/import", body=body, headers=headers)
        response = connection.getresponse()
        text = response.read()
        seconds = time.perf_counter() - began
    connection.close()
    if response.status not in {200, 207}:
        raise ServerError(f"the import answered {response.status}: {text[:300]!r}")
    return Imported(response.status, json.loads(text), seconds)


def fetch(port: int, path: str) -> bytes:
    """Return the body of GET `path`; raise ServerError unless it answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != 200:
        raise ServerError(f"GET {path} answered {response.status}: {body[:300]!r}")
    return body


def send(port: int, requests: list[tuple[str, str, bytes]]) -> None:
    """Send (method, path, body) one after another over one connection; all must succeed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for method, path, body in requests:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise ServerError(f"{method} {path} answered {response.status}: {text[:300]!r}")
    connection.close()
