"""Measure Edgekeep: ``.venv/bin/python -m benchmarks.run [name ...]`` (--help).

Starts every server as a child on a free port with fresh state, prints a table, and keeps the
figures in benchmarks/results.json. Exit code 0 when every target is met, 1 when one is missed,
2 when something could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    accounts,
    backups,
    doors,
    figures,
    imports,
    keys,
    redis_store,
    relay,
    s3_transfer,
    startup,
)
from benchmarks.figures import Figure
from benchmarks.load import LoadError
from benchmarks.plan import QUICK, Plan
from benchmarks.servers import ServerError

STAT = Path("/proc/stat")
BUSY = 0.1

BENCHMARKS: dict[str, Callable[[Plan], list[Figure]]] = {
    "profile_get": doors.profile_get,
    "d1_point_query": doors.d1_point_query,
    "kv_write": doors.kv_write,
    "object_counter": doors.object_counter,
    "session_check": accounts.session_check,
    "token_refresh": accounts.token_refresh,
    "login_latency": accounts.login_latency,
    "import_http": imports.import_http,
    "redis_profile_get": redis_store.redis_profile_get,
    "redis_import": redis_store.redis_import,
    "s3_transfer": s3_transfer.s3_transfer,
    "relay_throughput": relay.relay_throughput,
    "relay_idle_sockets": relay.relay_idle_sockets,
    "relay_inbox_drain": relay.relay_inbox_drain,
    "relay_storage": relay.relay_storage,
    "key_fetch": keys.key_fetch,
    "backup_transfer": backups.backup_transfer,
    "backup_memory": backups.backup_memory,
    "startup": startup.startup,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Edgekeep beside its references.")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--quick", action="store_true", help="short runs for a first look; nothing is kept"
    )
    parser.add_argument(
        "--write-readme", action="store_true", help="update the table in benchmarks/README.md"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="MINUTES",
        help="before each benchmark, wait at most so long for a quiet machine",
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(BENCHMARKS)):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
    return options


def _busy_share(seconds: float = 1.0) -> float:
    """Return how busy all cores together are with other work, from 0 to 1 (0 where unknown)."""

    def ticks() -> tuple[int, int]:
        numbers = [int(word) for word in STAT.read_text().splitlines()[0].split()[1:]]
        return numbers[3] + numbers[4], sum(numbers)

    if not STAT.exists():
        return 0.0
    idle, total = ticks()
    time.sleep(seconds)
    idle_after, total_after = ticks()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def _wait_for_quiet(minutes: float) -> None:
    """Wait, at most so long, until the machine has next to nothing else to do; say if it has."""
    deadline = time.monotonic() + 60 * minutes
    while (busy := _busy_share()) > BUSY and time.monotonic() < deadline:
        time.sleep(2)
    if busy > BUSY:
        print(f"  the machine is {busy:.0%} busy with other work", file=sys.stderr)


def _measure(names: list[str], plan: Plan, patience: float) -> tuple[list[Figure], bool]:
    """Run the benchmarks; return what they found, and whether all could be measured."""
    measured: list[Figure] = []
    complete = True
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        _wait_for_quiet(patience)
        began = time.monotonic()
        try:
            measured += BENCHMARKS[name](plan)
        except (LoadError, ServerError) as problem:
            print(f"{name} could not be measured: {problem}", file=sys.stderr)
            complete = False
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return measured, complete


def main() -> int:
    """Command line: see the module text."""
    options = _arguments()
    names = options.names or list(BENCHMARKS)
    measured, complete = _measure(names, QUICK if options.quick else Plan(), options.wait)
    if measured:
        print(figures.table(measured))
    if measured and not options.quick:
        figures.keep(measured, list(BENCHMARKS))
    if options.write_readme:
        figures.write_readme()
    if not complete:
        return 2
    return 0 if all(figure.met for figure in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
