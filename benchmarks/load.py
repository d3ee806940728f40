"""Drive an HTTP door with wrk (one thread, 32 keep-alive connections) and read its figures."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.servers import Server

SCRIPT = Path(__file__).parent / "load.lua"
CONNECTIONS = 32


class LoadError(Exception):
    """wrk is missing, failed, or the server answered with errors."""


@dataclass(frozen=True)
class Door:
    """
    What to send: `path` may hold {key}, replaced by `key_format` of 0 … keys-1.

    `script` is the wrk script that makes the requests, `connections` how many there are, `delay_ms`
    how long each rests before its next request.
    """

    path: str
    method: str = "GET"
    keys: int = 1
    key_format: str = "%d"
    body: Path | None = None
    bearer: str | None = None
    script: Path = SCRIPT
    connections: int = CONNECTIONS
    delay_ms: int | None = None


@dataclass(frozen=True)
class Rate:
    """Outcome of one run: requests per second, latencies and the server's CPU time in µs."""

    per_second: float
    cpu_us: float
    p50_us: int
    p99_us: int


@dataclass
class Rounds:
    """The runs of several servers, interleaved; name -> one Rate for each round."""

    runs: dict[str, list[Rate]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Return the median of the requests per second of `name`."""
        return statistics.median(run.per_second for run in self.runs[name])

    def ratio(self, name: str, other: str) -> float:
        """Return the median over the rounds of (`name` / `other` in the same round)."""
        pairs = zip(self.runs[name], self.runs[other], strict=True)
        return statistics.median(one.per_second / two.per_second for one, two in pairs)

    def cpu_us(self, name: str) -> float:
        """Return the median of the CPU time that a request cost `name`, in microseconds."""
        return statistics.median(run.cpu_us for run in self.runs[name])

    def p99_ms(self, name: str) -> float:
        """Return the median of the 99th percentiles of `name`, in milliseconds."""
        return statistics.median(run.p99_us for run in self.runs[name]) / 1000


def require_wrk() -> str:
    """Return the path of wrk; raise LoadError that says how to install it."""
    found = shutil.which("wrk")
    if found is None:
        raise LoadError("wrk is not installed; on Debian or Ubuntu: sudo apt-get install wrk")
    return found


def hammer(server: Server, door: Door, seconds: float) -> Rate:
    """Send requests for `seconds`; raise LoadError if one of them failed."""
    wrk = require_wrk()
    variables = {
        "BENCH_METHOD": door.method,
        "BENCH_PATH": door.path,
        "BENCH_KEYS": str(door.keys),
        "BENCH_KEY_FORMAT": door.key_format,
    }
    if door.body is not None:
        variables["BENCH_BODY"] = str(door.body)
    if door.bearer is not None:
        variables["BENCH_BEARER"] = door.bearer
    if door.delay_ms is not None:
        variables["BENCH_DELAY"] = str(door.delay_ms)
    command = [wrk, "-t1", f"-c{door.connections}", f"-d{max(1, round(seconds))}s"]
    # A slow answer shows in the latencies; only a lost one is an error.
    command += ["--timeout", "60s", "-s", str(door.script), f"http://127.0.0.1:{server.port}"]
    cpu_before = server.cpu_seconds()
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    cpu = server.cpu_seconds() - cpu_before
    marked = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode != 0 or not marked:
        raise LoadError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    result = json.loads(marked[-1].removeprefix("RESULT "))
    if result["bad_status"] or result["socket_errors"] or not result["requests"]:
        raise LoadError(f"{door.method} {door.path}: not every request was answered: {result}")
    rate = result["requests"] / result["seconds"]
    cpu_us = cpu / result["requests"] * 1e6
    return Rate(per_second=rate, cpu_us=cpu_us, p50_us=result["p50_us"], p99_us=result["p99_us"])


def alternate(
    servers: Mapping[str, tuple[Server, Door]], *, seconds: float, rounds: int, warm_up: float
) -> Rounds:
    """Warm each server up, then measure them in turn, `rounds` times over.

    Interleaving lets noise of the machine fall on all alike. `servers`: name -> (server, door).
    """
    for server, door in servers.values():
        hammer(server, door, warm_up)
    outcome = Rounds({name: [] for name in servers})
    for _ in range(rounds):
        for name, (server, door) in servers.items():
            try:
                outcome.runs[name].append(hammer(server, door, seconds))
            except LoadError as problem:
                raise LoadError(f"{name}: {problem}") from None
    return outcome
