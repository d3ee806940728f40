"""The benchmark of the key store: how long a bundle takes at a steady 500 fetches a second."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks import edgekeep_server, servers
from benchmarks.figures import Figure
from benchmarks.plan import Plan
from benchmarks.servers import ServerError

RATE = 500


def key_fetch(plan: Plan) -> list[Figure]:
    """GET bundles of ten people while they top up what is taken; the median of the rounds."""
    rounds = []
    cpu, count = 0.0, 0
    with (
        servers.scratch() as directory,
        # Room for the owners to be late: what is uploaded must not push out what is to be fetched.
        edgekeep_server.dev(directory, directory / "state", PREKEYS_HELD="500") as ours,
    ):
        for _ in range(plan.rounds):
            before = ours.cpu_seconds()
            rounds.append(_load(ours.port, plan))
            cpu += ours.cpu_seconds() - before
            count += int(RATE * (plan.seconds + plan.warm_up))
    median = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return [
        Figure(
            "key_fetch",
            f"p95 of a bundle at {RATE} a second",
            median["p95"],
            "ms",
            10,
            at_least=False,
            note=(
                f"p50 {median['p50']:.1f} ms, p99 {median['p99']:.1f} ms from when each was due; "
                f"meanwhile {median['top_ups']:.0f} uploads of 100 prekeys, p50 "
                f"{median['top_up_p50']:.1f} ms; CPU {cpu / count * 1e6:.0f} µs for each, all told"
            ),
        )
    ]


def _load(port: int, plan: Plan) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.key_load", f"--port={port}", f"--rate={RATE}"]
    command += [f"--seconds={plan.seconds}", f"--warm-up={plan.warm_up}"]
    done = subprocess.run(command, cwd=servers.ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerError(f"the load failed: {done.stderr[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
