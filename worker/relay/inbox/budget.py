"""What an account's frames cost, over all its sockets: those that say nothing new are work too."""

from worker.limiter.counting import step_bucket
from worker.limits import KIB, RELAY_FRAMES
from worker.relay.inbox.listeners import Listener

# One for each frame, and one more for so many bytes of it: reading JSON costs most there.
RELAY_COST_BYTES = 8 * KIB
# And for so many messages that its answer is about.
RELAY_COST_MESSAGES = 10


class FrameBudget:
    """The bucket of one account."""

    def __init__(self) -> None:
        self._full_at = 0.0

    def pay(self, listener: Listener, size: int, messages: int, now_ms: int) -> float:
        """Take what a frame costs; return 0, or the seconds until there is enough for it."""
        if listener.kept["spared"]:
            return 0.0
        cost = 1 + size // RELAY_COST_BYTES + messages // RELAY_COST_MESSAGES
        # All sockets of the account speak to its one inbox, so counting here counts them all.
        wait, self._full_at = step_bucket(RELAY_FRAMES, self._full_at, now_ms / 1000, cost)
        return wait


def byte_length(frame: str | bytes) -> int:
    """Return how long *frame* is on the network."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())
