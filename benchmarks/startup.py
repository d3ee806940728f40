"""The benchmark of the start: from the process's beginning to its first HTTP answer."""

from __future__ import annotations

import statistics
import time

from benchmarks import edgekeep_server, servers
from benchmarks.figures import Figure
from benchmarks.plan import Plan
from benchmarks.profiles_file import write_file

PROFILES = 1000


def startup(plan: Plan) -> list[Figure]:
    """Start `edgekeep dev` on a state that holds profiles, several times."""
    with servers.scratch() as directory:
        state = directory / "state"
        source = directory / "profiles.ndjson"
        write_file(source, PROFILES)
        with edgekeep_server.dev(directory, state) as server:
            edgekeep_server.import_file(server, edgekeep_server.token(state), source)
        tries = []
        for turn in range(plan.startup_tries):
            port = servers.free_port()
            command = edgekeep_server.dev_command(port, state)
            began = time.perf_counter()
            server = servers.Server(command, port, log=directory / f"start-{turn}.log")
            tries.append(server.wait_for_answer() - began)
            server.stop()
    return [
        Figure(
            "startup",
            "process start to first answer",
            statistics.median(tries),
            "s",
            0.5,
            at_least=False,
            note=f"median of {len(tries)}; {min(tries):.3f} to {max(tries):.3f} s",
        )
    ]
