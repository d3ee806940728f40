"""`edgekeep version`: which Edgekeep this is, and what it runs on."""

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
    from importlib.metadata import version

    ours = version("edgekeep")
    if options.json:
        python = ".".join(map(str, sys.version_info[:3]))
        show_json({"edgekeep": ours, "python": python, "platform": sys.platform})
    else:
        print(f"edgekeep {ours}")
    return OK
