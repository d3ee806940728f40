"""`edgekeep version`: which Edgekeep this is."""

import sys
from argparse import Namespace

from scripts.cli.outcome import OK, show_json
from scripts.cli.verbs import Verbs


def add(verbs: Verbs) -> None:
    """Add `version`."""
    parser = verbs.add(
        "version",
        _version,
        "Print the version.",
        ["edgekeep version", "edgekeep version --json"],
    )
    parser.add_argument("--json", action="store_true", help="with Python and platform")


def _version(options: Namespace) -> int:
    known = facts()
    if options.json:
        show_json(known)
    else:
        print(f"edgekeep {known['edgekeep']}")
    return OK


def facts() -> dict[str, str]:
    """Return the version, and those of what is below, without loading any of it."""
    from importlib.metadata import version

    python = ".".join(map(str, sys.version_info[:3]))
    return {"edgekeep": version("edgekeep"), "python": python, "platform": sys.platform}
