"""One delivery to an instance: what to run, and who hears of its outcome."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from durable.errors import ObjectResetError, remote_copy
from durable.gate import Turn

if TYPE_CHECKING:
    from durable.contract import DurableObject

Start = Callable[["DurableObject"], Any]
Settle = Callable[[Any, BaseException | None, bool], None]
"""Takes result, error, and whether the error is the reset of the whole object."""


class Event(Turn):
    """One delivery: what to run, and what to do with its outcome."""

    __slots__ = ("is_settled", "settle", "start")

    def __init__(self, start: Start, settle: Settle) -> None:
        super().__init__()
        self.start = start
        self.settle = settle
        self.is_settled = False

    def finish(self, result: Any, error: BaseException | None, *, is_reset: bool = False) -> None:
        """Hand on the outcome, once."""
        if not self.is_settled:
            self.is_settled = True
            self.settle(result, error, is_reset)


class Fate:
    """Outlives its instance in the stubs that used it: whether and why it was reset."""

    __slots__ = ("reason",)

    def __init__(self) -> None:
        self.reason: BaseException | None = None


def reply_to(future: "asyncio.Future[Any]") -> Settle:
    """Return what settles *future* with an event's outcome, unless nobody waits any more."""

    def settle(result: Any, error: BaseException | None, is_reset: bool) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, asyncio.CancelledError):
            future.set_exception(ObjectResetError("The event was cancelled."))
        else:
            future.set_exception(remote_copy(error, remote=not is_reset))

    return settle
