"""The benchmark of the NDJSON import over HTTP: its speed, and its memory on a large file."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks import edgekeep_server, servers
from benchmarks.figures import Figure
from benchmarks.plan import Plan
from benchmarks.profiles_file import LINE_BYTES, write_file

NAME = "import_http"
SAMPLE_SECONDS = 0.05
MEGABYTE = 1_000_000


def import_http(plan: Plan) -> list[Figure]:
    """Rows per second beside the shortest import, and memory above idle for a large file."""
    return [*_speed(plan), _memory(plan)]


def _speed(plan: Plan) -> list[Figure]:
    with servers.scratch() as directory:
        source = directory / "profiles.ndjson"
        write_file(source, plan.import_rows)
        reference, ours = [], []
        for turn in range(plan.rounds):
            reference.append(_reference_rate(source, directory / f"reference-{turn}.db"))
            ours.append(_our_rate(source, directory, directory / f"state-{turn}"))
    ratio = statistics.median(one / two for one, two in zip(ours, reference, strict=True))
    what = f"import of {plan.import_rows:,} profiles of 1 KB"
    rate, other = statistics.median(ours), statistics.median(reference)
    against = "json.loads + validation + executemany"
    return [
        Figure(NAME, what, rate, "rows/s", 0.5, reference=other, against=against, ratio=ratio),
        Figure(NAME, what, rate, "rows/s", 25_000),
    ]


def _reference_rate(source: Path, database: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.reference_import", str(source), str(database)]
    done = subprocess.run(command, cwd=servers.ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise servers.ServerError(f"the reference import failed: {done.stderr.strip()}")
    return float(json.loads(done.stdout)["rows_per_second"])


def _our_rate(source: Path, directory: Path, state: Path) -> float:
    """Import into a fresh state, after a small import that warms the server up."""
    small = directory / "small.ndjson"
    rows = write_file(small, 500) and sum(1 for _ in source.open("rb"))
    with edgekeep_server.dev(directory, state) as server:
        bearer = edgekeep_server.token(state)
        edgekeep_server.import_file(server, bearer, small)
        return rows / edgekeep_server.import_file(server, bearer, source).seconds


def _memory(plan: Plan) -> Figure:
    """Highest resident memory while a large file passes through, less that of the idle server."""
    with servers.scratch() as directory:
        source = directory / "large.ndjson"
        state = directory / "state"
        rows = -(-plan.memory_bytes // LINE_BYTES)
        write_file(source, rows)
        with edgekeep_server.dev(directory, state) as server:
            bearer = edgekeep_server.token(state)
            time.sleep(1)
            idle = server.resident_bytes()
            with Watch(server) as watch:
                seconds = edgekeep_server.import_file(server, bearer, source).seconds
        size = source.stat().st_size
    return Figure(
        NAME,
        f"memory above idle while importing {size / MEGABYTE:,.0f} MB",
        (watch.highest - idle) / MEGABYTE,
        "MB",
        60,
        at_least=False,
        note=f"idle {idle / MEGABYTE:.0f} MB; {rows / seconds:,.0f} rows/s over {seconds:.0f} s",
    )


class Watch:
    """Samples a server's resident memory in a thread while the block runs."""

    def __init__(self, server: servers.Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.highest = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.highest = max(self.highest, self._server.resident_bytes())
