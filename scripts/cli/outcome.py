"""How a verb ends: exit codes, and refusals that are one sentence on stderr."""

import sys
from collections.abc import Sequence
from typing import Any

OK = 0
PARTLY = 1
USAGE = 2
REFUSED = 3
UNREACHABLE = 4
BUSY = 5
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES = f"""\
exit codes:
  {OK}    done
  {PARTLY}    done in part (an import stored some lines and refused others), or not found
  {USAGE}    wrong usage, or a configuration that cannot be used
  {REFUSED}    refused: nothing was stored or changed
  {UNREACHABLE}    the server cannot be reached, or failed
  {BUSY}    not now: the port is taken or the state is in use
  {INTERRUPTED}  stopped by Ctrl-C
"""


class CliError(Exception):
    """A sentence for the person at the terminal, and the exit code."""

    def __init__(self, sentence: str, code: int = USAGE) -> None:
        super().__init__(sentence)
        self.code = code


def tell(text: str) -> None:
    """Say *text* on stderr, so that stdout carries results only."""
    print(text, file=sys.stderr, flush=True)


def show_json(value: Any) -> None:
    """Print *value* for scripts."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...]) -> str:
    """Lay out *rows* in columns under *head*; a column of numbers is set to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    numeric = [
        bool(rows) and all(row[column].replace(",", "").isdecimal() for row in rows)
        for column in range(len(head))
    ]

    def line(row: tuple[str, ...]) -> str:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in [head, *rows])
