"""The benchmarks of the relay: throughput, idle sockets, a full inbox, what is left on disk."""

from __future__ import annotations

import json
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks import edgekeep_server, relay_accounts, servers
from benchmarks.figures import Figure
from benchmarks.plan import Plan
from benchmarks.servers import Server, ServerError

BYTES = 256
# Per second of the plan, so that a run takes about that long.
OURS_EACH, FORWARDED_EACH, JAVASCRIPT_EACH = 25_000, 100_000, 3_000
SOCKETS, QUICK_SOCKETS = 10_000, 1_000
INBOX = 1000
BIG = 4000


def load(server: Server, what: str, kind: str, *words: str, given: Any = None) -> dict[str, float]:
    """Run the load process; return what it printed last."""
    command = [sys.executable, "-m", "benchmarks.relay_load", what, "--kind", kind]
    command += ["--port", str(server.port), *words]
    text = json.dumps(given) if given is not None else None
    done = subprocess.run(
        command, input=text, cwd=servers.ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ServerError(f"the load failed: {done.stderr[-500:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def forwarder(directory: Path) -> AbstractContextManager[Server]:
    """Run the bare forwarder on the loop that our host uses."""
    port = servers.free_port()
    command = [sys.executable, "-m", "benchmarks.reference_forwarder", f"--port={port}"]
    command += ["--uvloop"] if edgekeep_server.host_uses_uvloop() else []
    return servers.running(command, port, directory)


def _rate(server: Server, kind: str, count: int, given: Any = None) -> tuple[float, float]:
    """Return messages per second, and processor time of the server for each in microseconds."""
    before = server.cpu_seconds()
    words = ("--messages", str(count), "--bytes", str(BYTES), "--client-ids")
    found = load(server, "throughput", kind, *words, given=given)
    return count / found["seconds"], (server.cpu_seconds() - before) / count * 1e6


def relay_throughput(plan: Plan) -> list[Figure]:
    """Stored messages, sender told, recipient online; beside the forwarder and a JavaScript one."""
    with servers.scratch() as directory:
        names = [f"{one}_{turn}" for turn in range(plan.rounds + 1) for one in "ab_"[:2]]
        names = [f"user_{name}" for name in names]
        tokens = relay_accounts.make(directory / "state", names)
        with (
            edgekeep_server.dev(directory, directory / "state") as ours,
            forwarder(directory) as bare,
            servers.miniflare(directory) as javascript,
        ):
            rates: dict[str, list[tuple[float, float]]] = {}
            for turn in range(plan.rounds + 1):
                its = tokens[2 * turn : 2 * turn + 2]
                ways: dict[str, Callable[[], tuple[float, float]]] = {
                    "bare": lambda: _rate(bare, "forwarder", int(FORWARDED_EACH * plan.seconds)),
                    "ours": lambda its=its, to=names[2 * turn + 1]: _rate(  # type: ignore[misc]
                        ours, "relay", int(OURS_EACH * plan.seconds), [*its, to]
                    ),
                    "javascript": lambda: _rate(
                        javascript, "javascript", int(JAVASCRIPT_EACH * plan.seconds)
                    ),
                }
                for name, measure in ways.items():
                    found = measure()
                    if turn:  # the first warms up
                        rates.setdefault(name, []).append(found)
    return [
        _against(rates, "bare", "bare aiohttp forwarder, nothing stored", 0.15),
        _against(rates, "javascript", "JavaScript Durable Object on workerd", 3),
    ]


def _against(
    rates: dict[str, list[tuple[float, float]]], other: str, what: str, target: float
) -> Figure:
    pairs = list(zip(rates["ours"], rates[other], strict=True))
    cpu = {name: statistics.median(one[1] for one in rates[name]) for name in ("ours", other)}
    return Figure(
        benchmark="relay_throughput",
        what=f"stored messages of {BYTES} bytes, one sender to one recipient online",
        ours=statistics.median(one[0] for one in rates["ours"]),
        unit="messages/s",
        target=target,
        reference=statistics.median(one[0] for one in rates[other]),
        against=what,
        ratio=statistics.median(ours[0] / its[0] for ours, its in pairs),
        note=f"CPU {cpu['ours']:.0f} µs a message, there {cpu[other]:.0f} µs",
    )


def relay_idle_sockets(plan: Plan) -> list[Figure]:
    """Resident memory with many idle sockets, each of an account of its own."""
    count = SOCKETS if plan.rounds > 1 else QUICK_SOCKETS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Children inherit it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count * 2 + 2000), hard))
    try:
        with servers.scratch() as directory:
            names = [f"idle_{one}" for one in range(count)]
            tokens = relay_accounts.make(directory / "state", names)
            with edgekeep_server.dev(directory, directory / "state") as ours:
                our_bytes = _held(ours, "relay", count, tokens)
            with forwarder(directory) as bare:
                bare_bytes = _held(bare, "forwarder", count, None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return [
        Figure(
            benchmark="relay_idle_sockets",
            what=f"resident memory with {count:,} idle sockets",
            ours=our_bytes / 1e6,
            unit="MB",
            target=1.5,
            at_least=False,
            reference=bare_bytes / 1e6,
            against="bare aiohttp forwarder",
            ratio=our_bytes / bare_bytes,
            note="each socket of another account; 15 s after the last connect",
        )
    ]


def _held(server: Server, kind: str, count: int, tokens: list[str] | None) -> int:
    command = [sys.executable, "-m", "benchmarks.relay_load", "idle", "--kind", kind]
    command += ["--port", str(server.port), "--sockets", str(count), "--hold", "60"]
    with subprocess.Popen(
        command, cwd=servers.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(tokens))
        child.stdin.close()
        line = child.stdout.readline()
        if not re.match(r'\{"open"', line):
            raise ServerError("the sockets could not be opened")
        # Instances leave memory ten seconds after their last event.
        time.sleep(15)
        held = server.resident_bytes()
        child.terminate()
    return held


def relay_inbox_drain(plan: Plan) -> list[Figure]:
    """A full inbox, delivered to its owner: from the request to the last message."""
    turns = plan.rounds + 1
    with servers.scratch() as directory:
        names = [f"{one}_{turn}" for turn in range(turns) for one in ("from", "to")]
        tokens = relay_accounts.make(directory / "state", names)
        with edgekeep_server.dev(directory, directory / "state") as ours:
            taken = []
            for turn in range(turns):
                given = [*tokens[2 * turn : 2 * turn + 2], names[2 * turn + 1]]
                words = ("--messages", str(INBOX), "--bytes", str(BYTES))
                taken.append(load(ours, "drain", "relay", *words, given=given)["seconds"] * 1000)
    return [
        Figure(
            benchmark="relay_inbox_drain",
            what=f"{INBOX} waiting messages delivered",
            ours=statistics.median(taken[1:]),
            unit="ms",
            target=100,
            at_least=False,
        )
    ]


def relay_storage(plan: Plan) -> list[Figure]:
    """Bytes on disk with full inboxes, and after everybody has read."""
    inboxes = 5
    with servers.scratch() as directory:
        state = directory / "state"
        names = [f"{one}_{turn}" for turn in range(inboxes) for one in ("from", "to")]
        tokens = relay_accounts.make(state, names)
        with edgekeep_server.dev(directory, state) as ours:
            words = ("--messages", str(INBOX), "--bytes", str(BIG), "--hold")
            full = 0
            for turn in range(inboxes):
                given = [*tokens[2 * turn : 2 * turn + 2], names[2 * turn + 1]]
                load(ours, "fill", "relay", *words, "0", given=given)
            full = _stored(state)
            for turn in range(inboxes):
                load(ours, "read", "relay", *words, "0", given=[tokens[2 * turn + 1]])
            time.sleep(15)  # files are made smaller when their objects fall asleep
            left = _stored(state)
    return [
        Figure(
            benchmark="relay_storage",
            what=f"disk of {inboxes} inboxes after all is read",
            ours=left / 1e6,
            unit="MB",
            target=0.05,
            at_least=False,
            reference=full / 1e6,
            against=f"with {INBOX} messages of {BIG} bytes each",
            ratio=left / full,
            note="an hour later the files are gone",
        )
    ]


def _stored(state: Path) -> int:
    return sum(one.stat().st_size for one in (state / "durable" / "Inbox").rglob("*.sqlite*"))
