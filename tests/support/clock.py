"""A clock that tests move: real time and what was added to it; told to stand, that alone."""

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Epoch seconds; handed to a host with its tools, so that everything in it goes by it."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._stood_at: float | None = None

    def __call__(self) -> float:
        """Return the time."""
        return (self._stood_at or time.time()) + self.ahead

    def stand(self) -> None:
        """Pass no more by itself: for tests that come within a second of an end."""
        self._stood_at = time.time()

    def forward(self, seconds: float) -> None:
        """Let *seconds* pass at once; a negative number sets the clock back."""
        self.ahead += seconds

    @contextlib.contextmanager
    def moved(self, seconds: float) -> Iterator[None]:
        """Be *seconds* ahead as long as the block runs."""
        self.forward(seconds)
        try:
            yield
        finally:
            self.forward(-seconds)
