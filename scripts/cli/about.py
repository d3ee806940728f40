"""`edgekeep about`: which Edgekeep this is, and what it runs on."""

from argparse import Namespace

from scripts.cli.outcome import OK, show_json
from scripts.cli.verbs import Verbs
from scripts.cli.version import facts


def add(verbs: Verbs) -> None:
    """Add `about`."""
    parser = verbs.add(
        "about",
        _about,
        "Tell which Edgekeep this is, and the Python and the SQLite that it runs on.",
        ["edgekeep about", "edgekeep about --json"],
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def _about(options: Namespace) -> int:
    from d1_schema.sqlite import engine

    known = {**facts(), "sqlite": engine.VERSION}
    if options.json:
        show_json(known)
    else:
        print(
            f"edgekeep {known['edgekeep']}\n"
            f"Python {known['python']} on {known['platform']}\n"
            f"SQLite {known['sqlite']}, in the package apsw: D1, KV, objects and the ledger of R2"
        )
    return OK
