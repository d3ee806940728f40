"""
The in-memory WebSocket pair of a laptop (Workers' WebSocketPair).

One end stays with the actor, the other goes to the host, which moves its messages to and from
the network:

- each frame from the network: `client.send(data)`, then `await client.writable()`, which waits
  while the actor is behind;
- frames to the network: `await client.receive()` until `Closed` comes; what is in the
  transport's own buffer the host tells by `client.network_buffer`;
- the network's end came: `client.hang_up(code, reason)`, with whatever code it gave (None, 0
  or 1005 for a close without a code, 1006 when the peer vanished); `client.drop()` is the same
  as `hang_up(1006)`. Both do nothing on a socket that is closed already.

A peer that does not read is not waited for: when more than 4 MiB or 10,000 messages wait for
it, the socket is closed with 1013 and what waited is thrown away.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from durable.errors import SocketStateError
from durable.socket_frames import (
    ABNORMAL,
    CLOSED,
    DROPPED,
    MAX_WAITING_BYTES,
    MAX_WAITING_MESSAGES,
    NO_CODE,
    OPEN,
    SLOW,
    Closed,
    Message,
    check_attachment,
    check_close,
    check_message,
    size_of,
)
from durable.values import decode, encode

_NOBODY = Context()


def local_pair() -> tuple["LocalSocket", "LocalSocket"]:
    """Return (client end, server end)."""
    client, server = LocalSocket(), LocalSocket()
    client._peer, server._peer = server, client  # noqa: SLF001  # a pair is made once, here
    return client, server


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


class LocalSocket:
    """One end of a pair."""

    __slots__ = (
        "_attachment",
        "_called_close",
        "_end_timer",
        "_got_close",
        "_held_bytes",
        "_is_accepted",
        "_is_gone",
        "_peer",
        "_queue",
        "_reader",
        "_sent_close",
        "_waiting_bytes",
        "auto_response_ms",
        "network_buffer",
        "owner",
        "tags",
    )

    _peer: "LocalSocket"

    def __init__(self) -> None:
        # A list: an empty deque takes 600 bytes, and there are many idle sockets.
        self._queue: list[Message | Closed] = []
        self._waiting_bytes = 0
        self._held_bytes = 0
        self._reader: asyncio.Future[None] | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._attachment: str | bytes | None = None
        self._is_accepted = False
        self._called_close = False
        self._sent_close = False
        self._got_close = False
        self._is_gone = False
        self.owner: SocketOwner | None = None
        self.tags: list[str] | None = None
        self.auto_response_ms: int | None = None
        self.network_buffer: Callable[[], int] | None = None
        """Bytes that `receive` gave out and the network has not taken yet."""

    @property
    def buffered_amount(self) -> int:
        """Bytes that this end sent and the network has not taken yet."""
        peer = self._peer
        in_network = 0 if peer.network_buffer is None else peer.network_buffer()
        return self._held_bytes + peer._waiting_bytes + in_network  # noqa: SLF001  # of the pair

    @property
    def ready_state(self) -> int:
        """1 open, 2 closing (one side has closed), 3 closed."""
        if self._is_gone:
            return CLOSED
        return OPEN + self._sent_close + self._got_close

    # -- for the actor and for the host ------------------------------------------------------

    def accept(self) -> None:
        """Read this end with `receive` oneself, instead of handing it to an object."""
        if self.owner is not None:
            raise SocketStateError("This WebSocket was accepted by a Durable Object.")
        self._is_accepted = True

    def send(self, message: Message) -> None:
        """Send *message* once the actor's writes are durable. TypeError after `close`."""
        self.send_many((message,))

    def send_many(self, messages: Sequence[Message]) -> None:
        """See `durable.contract.WebSocket.send_many`."""
        if self._called_close:
            raise TypeError("Can't call WebSocket send() after close().")
        checked = list(map(check_message, messages))
        if not self._sent_close:
            self._out(checked)

    def feed(self, message: Message) -> bool:
        """`send` for the host; returns whether the object is behind, so that `writable` waits."""
        peer = self._peer
        if peer.owner is None or self._sent_close:
            self.send(message)
            return False
        peer.owner.incoming(peer, message)
        return peer.owner.is_behind(peer)

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close this end, once. InvalidAccessError: the code; ValueError: the reason's length."""
        check_close(code, reason)
        self._called_close = True
        self.echo_close(Closed(NO_CODE if code is None else code, reason))

    def close_after(self, seconds: float, code: int, reason: str = "") -> bool:
        """See `durable.contract.WebSocket.close_after`."""
        self._stop_timer()
        # Not in the context of the event that asks: its instance may be gone by then.
        later = partial(asyncio.get_running_loop().call_later, context=_NOBODY)
        self._end_timer = later(seconds, self.close, code, reason)
        return True

    def _stop_timer(self) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None

    def echo_close(self, closed: Closed) -> None:
        """Close this end with what the other end said, unless it was closed already."""
        self._stop_timer()
        if not self._sent_close:
            self._sent_close = True
            self._out((closed,))

    def hang_up(self, code: int | None, reason: str = "") -> None:
        """End with what the network said; for the host, which cannot choose the code."""
        if code == ABNORMAL:
            self.drop()
        else:
            self.echo_close(Closed(code or NO_CODE, reason))

    def drop(self) -> None:
        """End without a close frame: the network is gone."""
        if self.ready_state != CLOSED:
            # Whoever still reads this end hears of it too.
            self._end_queue(DROPPED)
            self.cut(DROPPED)

    async def receive(self) -> Message | Closed:
        """Return the next message; after the last, `Closed`, again and again."""
        item = await self._first()
        if not isinstance(item, Closed):
            del self._queue[0]
            self._waiting_bytes -= size_of(item)
        return item

    async def receive_all(self) -> list[Message] | Closed:
        """Return every message that is there, one at least; after the last, `Closed`."""
        item = await self._first()
        if isinstance(item, Closed):
            return item
        messages: list[Any] = self._queue
        # A close is the last that comes.
        self._queue = [messages.pop()] if isinstance(messages[-1], Closed) else []
        self._waiting_bytes = 0
        return messages

    async def _first(self) -> Message | Closed:
        """Wait until something has come, and return the first of it; a close is answered."""
        if self.owner is not None:
            raise SocketStateError("This WebSocket was accepted by a Durable Object.")
        while not self._queue:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        item = self._queue[0]
        if isinstance(item, Closed):
            self.note_close(item)
            # Reading a close answers it, as a WebSocket library does on its own.
            self.echo_close(item)
        return item

    async def writable(self) -> None:
        """Wait while the other end is behind with what was sent."""
        if self._peer.owner is not None:
            await self._peer.owner.caught_up(self._peer)

    def serialize_attachment(self, value: Any) -> None:
        """Keep plain *value*, also while the object sleeps. SocketStateError: over 16,384 bytes."""
        self._attachment = check_attachment(encode(value))

    def deserialize_attachment(self) -> Any:
        """Return a fresh copy of what was kept, or None."""
        return None if self._attachment is None else decode(self._attachment)

    # -- between the ends ----------------------------------------------------------------------

    def take_over(self, owner: SocketOwner, tags: list[str]) -> None:
        """Let *owner* have this end; what arrived already goes to it."""
        if self._is_accepted or self.owner is not None:
            raise SocketStateError(
                "Cannot call `acceptWebSocket()` if the WebSocket was already accepted via "
                "`accept()`"
            )
        self.owner, self.tags = owner, tags
        early, self._queue = self._queue, []
        self._waiting_bytes = 0
        for item in early:
            owner.incoming(self, item)

    def arrive(self, items: Sequence[Message | Closed]) -> None:
        """Take what the other end sent."""
        for item in items:
            if isinstance(item, Closed) and (self._got_close or self._is_gone):
                continue
            if self.owner is not None:
                self.owner.incoming(self, item)
            elif not self._queue or not isinstance(self._queue[-1], Closed):
                self._enqueue(item)
        self._wake()

    def _enqueue(self, item: Message | Closed) -> None:
        if not isinstance(item, Closed):
            is_full = self._waiting_bytes > MAX_WAITING_BYTES
            if is_full or len(self._queue) >= MAX_WAITING_MESSAGES:
                self._end_queue(SLOW)
                self.cut(SLOW)
                return
            self._waiting_bytes += len(item)
        self._queue.append(item)

    def note_close(self, closed: Closed) -> None:
        """The other end has closed, or is gone."""
        self._stop_timer()
        self._got_close = True
        self._is_gone = self._is_gone or not closed.was_clean

    def cut(self, closed: Closed) -> None:
        """End both sides at once; *closed* is what the other end sees."""
        self._stop_timer()
        self._is_gone = True
        self._peer.arrive((closed,))

    @property
    def peer(self) -> "LocalSocket":
        """The other end."""
        return self._peer

    def _out(self, items: Sequence[Message | Closed]) -> None:
        if self._is_gone:
            return  # nobody is there to hear it
        if self.owner is None:
            self._peer.arrive(items)
            return
        size = sum(map(size_of, items))
        self._held_bytes += size
        if not self.owner.hold(partial(self._let_out, items, size)):
            self._held_bytes -= size

    def _let_out(self, items: Sequence[Message | Closed], size: int) -> None:
        self._held_bytes -= size
        self._peer.arrive(items)

    def _end_queue(self, closed: Closed) -> None:
        self._queue.clear()
        self._waiting_bytes = 0
        self._queue.append(closed)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
