"""`edgekeep console`: the link that opens the console of the running host."""

from argparse import Namespace

from scripts.cli.outcome import OK, UNREACHABLE, CliError
from scripts.cli.place import Place, add_place
from scripts.cli.verbs import Verbs


def add(verbs: Verbs) -> None:
    """Add `console`."""
    parser = verbs.add(
        "console",
        _console,
        "Print the link that opens the console of the running host in a browser of this machine.\n"
        "The key in it holds until that host ends; whoever has it can read and change everything.",
        ["edgekeep console", "xdg-open $(edgekeep console --state /tmp/trial)"],
    )
    add_place(parser)


def _console(options: Namespace) -> int:
    from worker.entry.console.frame import ROOT
    from worker.entry.run_key import RunKey

    place = Place.of(options)
    host = place.host
    if not host:
        raise CliError(f"No host runs on {place.state}. Start it with: edgekeep dev", UNREACHABLE)
    if place.settings.production:
        raise CliError("ENVIRONMENT is production: there is no console.")
    print(RunKey(host["key"], ROOT).link(host["url"]))
    return OK
