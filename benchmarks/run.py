"""Measure Edgekeep: ``.venv/bin/python -m benchmarks.run [name ...] [--quick] [--write-readme]``.

Starts every server as a child on a free port with fresh state, prints a table, and keeps the
figures in benchmarks/results.json. Exit code 0 when every target is met, 1 when one is missed,
2 when something could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks import doors, figures, imports, startup
from benchmarks.figures import Figure
from benchmarks.load import LoadError
from benchmarks.plan import QUICK, Plan
from benchmarks.servers import ServerError

BENCHMARKS: dict[str, Callable[[Plan], list[Figure]]] = {
    "profile_get": doors.profile_get,
    "d1_point_query": doors.d1_point_query,
    "kv_write": doors.kv_write,
    "object_counter": doors.object_counter,
    "import_http": imports.import_http,
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
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(BENCHMARKS)):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
    return options


def _measure(names: list[str], plan: Plan) -> tuple[list[Figure], bool]:
    """Run the benchmarks; return what they found, and whether all could be measured."""
    measured: list[Figure] = []
    complete = True
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
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
    measured, complete = _measure(names, QUICK if options.quick else Plan())
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
