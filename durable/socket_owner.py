"""What a local WebSocket asks of the object that accepted it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from durable.socket_frames import Closed, Message

if TYPE_CHECKING:
    from durable.local_socket import LocalSocket


class SocketOwner(Protocol):
    """Who took a socket over: the object that accepted it."""

    def incoming(self, ws: "LocalSocket", item: Message | Closed) -> None:
        """Take a message, or the peer's close."""

    def hold(self, action: Callable[[], None]) -> bool:
        """Do *action* when the object's writes are durable; False when they never will be."""

    def is_behind(self, ws: "LocalSocket") -> bool:
        """Whether many messages of *ws* wait for the object."""

    async def caught_up(self, ws: "LocalSocket") -> None:
        """Wait until few messages of *ws* wait for the object."""
