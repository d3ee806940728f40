"""The shape of every verb: a parser with an explanation and examples, and the function to run."""

import argparse
from collections.abc import Callable, Sequence

Run = Callable[[argparse.Namespace], int]


class Verbs:
    """A list of verbs below a parser; groups (`kv key get`) nest."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(
        self, name: str, run: Run, about: str, examples: Sequence[str]
    ) -> argparse.ArgumentParser:
        """Add the verb *name*; the first sentence of *about* is its line in the list."""
        lines = "\n".join(f"  {example}" for example in examples)
        parser: argparse.ArgumentParser = self._verbs.add_parser(
            name,
            help=about.partition(". ")[0].partition(".\n")[0].rstrip("."),
            description=about,
            epilog=f"examples:\n{lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=run)
        return parser

    def mention(self, name: str, about: str) -> None:
        """List the verb *name* without what it takes."""
        self._verbs.add_parser(name, help=about)

    def group(self, name: str, about: str) -> "Verbs":
        """Add a group of verbs and return it."""
        return Verbs(self._verbs.add_parser(name, help=about, description=f"Verbs that {about}."))
