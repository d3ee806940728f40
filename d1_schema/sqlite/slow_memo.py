"""Which statements have lately been too slow for the event loop."""

from typing import Final

INLINE_SECONDS: Final = 0.002
"""How long a statement may hold the loop before it is interrupted."""
SLOW_AFTER: Final = 3
"""A statement that was late so many times goes to the slow lane at once."""
MEMO_SIZE: Final = 512
"""So many statements are remembered; the oldest is forgotten first."""


class SlowMemo:
    """
    Counts, per statement, how often it was late.

    Without it every run of a slow query would first cost the loop two
    milliseconds. A statement that proves quick in the lane is forgiven step by
    step, so that a hiccup of the machine does not banish it for good.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[object, int] = {}

    def is_slow(self, key: object) -> bool:
        """Whether *key* should not be tried on the loop."""
        return bool(self._counts) and self._counts.get(key, 0) >= SLOW_AFTER

    def remember(self, key: object) -> None:
        """Count one more time that *key* was late; None is never remembered."""
        if key is None:
            return
        if key not in self._counts and len(self._counts) >= MEMO_SIZE:
            del self._counts[next(iter(self._counts))]
        self._counts[key] = min(self._counts.get(key, 0) + 1, SLOW_AFTER + 2)

    def forgive(self, key: object) -> None:
        """Count one time that *key* was quick after all."""
        count = self._counts.get(key, 0) - 1
        if count > 0:
            self._counts[key] = count
        else:
            self._counts.pop(key, None)
