"""The last lines of the log, kept in memory, and handed on to whoever watches them live."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

KEPT_LINES: Final = 2000
WAITING_LINES: Final = 2000
"""So many lines may wait for a slow watcher; then the oldest are lost to it."""


class Watcher:
    """One that follows the log: `take` what has come since the last time."""

    def __init__(self, seen: int) -> None:
        self.seen = seen
        """How many lines of this run were taken by this watcher, or were before it, or lost."""
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._news = asyncio.Event()

    def offer(self, lines: list[str]) -> None:
        """Let *lines* wait; the oldest give way."""
        self._waiting.extend(lines)
        while len(self._waiting) > WAITING_LINES:
            self._waiting.popleft()
            self._lost += 1
        self._news.set()

    def wake(self) -> None:
        """End a `wait`, though there is nothing new."""
        self._news.set()

    async def wait(self, seconds: float) -> None:
        """Return when there is something to take, or after *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    def take(self, most: int) -> tuple[list[str], int]:
        """Return at most *most* lines, the oldest first, and how many were lost before them."""
        lines = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        lost, self._lost = self._lost, 0
        self.seen += len(lines) + lost
        if not self._waiting:
            self._news.clear()
        return lines, lost


class LogTail:
    """Stands between the log and its *write*: every line goes on at once, and is remembered."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._watchers: set[Watcher] = set()
        self.count = 0
        """Lines since the start."""
        self.is_closed = False

    def write(self, text: str) -> None:
        """Take finished lines; what `open_env` gets as `write_log`."""
        self._write(text)
        lines = text.splitlines()
        self.count += len(lines)
        self._lines.extend(lines)
        for watcher in self._watchers:
            watcher.offer(lines)

    def lines(self) -> list[str]:
        """Return the lines that are kept, the oldest first."""
        return list(self._lines)

    def watch(self, seen: int | None = None) -> Watcher:
        """
        Return a watcher that gets every line behind the first *seen*, until `leave`.

        Without *seen*, lines from here on. A number of another run means all that are kept.
        """
        if seen is None:
            seen = self.count
        elif not 0 <= seen <= self.count:
            seen = 0
        # Lines that are kept no longer are passed over.
        watcher = Watcher(max(seen, self.count - len(self._lines)))
        behind = self.count - watcher.seen
        if behind:
            watcher.offer(self.lines()[-behind:])
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Stop handing lines to *watcher*."""
        self._watchers.discard(watcher)

    def close(self) -> None:
        """Let every watcher end: the host stops."""
        self.is_closed = True
        for watcher in self._watchers:
            watcher.wake()
