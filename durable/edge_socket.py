"""The server end of a WebSocket at the edge, in the words of `durable.contract.WebSocket`."""

from collections.abc import Sequence
from typing import Any

from durable.edge_values import from_stored, socket_errors
from durable.socket_frames import check_attachment
from durable.values import encode
from worker import interop


class EdgeSocket:
    """One end. Two wrappers of one JavaScript socket are equal."""

    __slots__ = ("js",)

    def __init__(self, js_socket: Any) -> None:
        self.js = js_socket
        """The JavaScript WebSocket itself, for a Response or for `accept_web_socket`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EdgeSocket) and bool(self.js == other.js)

    def __hash__(self) -> int:
        # Proxies of one JavaScript object have no common hash; equality decides.
        return hash(EdgeSocket)

    @property
    def ready_state(self) -> int:
        """1 open, 2 closing, 3 closed."""
        return int(self.js.readyState)

    def send(self, message: str | bytes) -> None:
        """Send *message*; it leaves when earlier writes are durable. TypeError after `close`."""
        with socket_errors():
            self.js.send(interop.data_out(_checked(message)))

    def send_many(self, messages: Sequence[str | bytes]) -> None:
        """Send each of *messages*."""
        for message in messages:
            self.send(message)

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close. InvalidAccessError for a code that may not be sent."""
        with socket_errors():
            if code is None:
                self.js.close()
            else:
                self.js.close(code, reason)

    @property
    def buffered_amount(self) -> int:
        """Always 0: the runtime does not tell."""
        return 0

    def close_after(self, seconds: float, code: int, reason: str = "") -> bool:
        """Return False: the runtime has no such timer, an alarm has to do it."""
        return False

    def serialize_attachment(self, value: Any) -> None:
        """
        Keep *value* (plain data) with the socket across hibernation.

        Raises:
            SocketStateError: longer than 16,384 bytes. DataCloneError when not plain data.
        """
        encoded = check_attachment(encode(value))
        with socket_errors():
            self.js.serializeAttachment(interop.data_out(encoded))

    def deserialize_attachment(self) -> Any:
        """Return a fresh copy of what was kept, or None."""
        with socket_errors():
            return from_stored(self.js.deserializeAttachment())


def _checked(message: object) -> str | bytes:
    if isinstance(message, (bytearray, memoryview)):
        return bytes(message)
    if not isinstance(message, (str, bytes)):
        raise TypeError(f"A message must be str or bytes, not {type(message).__name__}.")
    return message


def socket_pair() -> tuple[EdgeSocket, EdgeSocket]:
    """Return (client end, server end) of a new pair: `Tools.socket_pair` of the edge."""
    client, server = interop.construct("WebSocketPair").object_values()
    return EdgeSocket(client), EdgeSocket(server)


def js_socket(socket: Any) -> Any:
    """Return the JavaScript socket, whether it comes wrapped or bare."""
    return socket.js if isinstance(socket, EdgeSocket) else socket
