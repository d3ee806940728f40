"""How far a transfer is: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from typing import Any, Self

from scripts.cli.outcome import tell

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """A context: `sent` takes bytes so far, `counted` what the server stored and refused."""

    def __init__(self, name: str, total: int | None, verb: str = "importing") -> None:
        self._name = name
        self._total = total
        self._verb = verb
        self._bar: Any = None
        self._told = 0.0
        self._counts = ""

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from tqdm import tqdm

            # No watching thread for a bar that is fed all the time.
            tqdm.monitor_interval = 0
            self._bar = tqdm(
                total=self._total,
                unit="B",
                unit_scale=True,
                desc=self._name,
                file=sys.stderr,
                dynamic_ncols=True,
            )
        else:
            size = f" ({self._total:,} bytes)" if self._total is not None else ""
            tell(f"{self._verb} {self._name}{size} …")
            self._told = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def sent(self, count: int) -> None:
        """Take the number of bytes so far."""
        if self._bar is not None:
            self._bar.update(count - self._bar.n)
        elif time.monotonic() - self._told > _SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            share = f" ({100 * count // self._total} %)" if self._total else ""
            tell(f"{count:,} bytes{share}{self._counts}")

    def counted(self, stored: int, refused: int) -> None:
        """Take the server's own counts."""
        self._counts = f", {stored:,} stored, {refused:,} refused"
        if self._bar is not None:
            self._bar.set_postfix_str(self._counts[2:])
