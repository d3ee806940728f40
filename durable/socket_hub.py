"""
The accepted WebSockets of one object: they outlive its instances.

Messages of one socket reach the actor one after the other, each when the handler of the one
before has ended; sockets do not wait for each other. Nothing here keeps the instance in memory.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from durable.contract import MAX_SOCKETS, check_tags
from durable.errors import SocketStateError
from durable.gate import CURRENT_TURN
from durable.instance import CURRENT_INSTANCE, Instance
from durable.local_socket import LocalSocket
from durable.socket_frames import CLOSED, Closed, Message

if TYPE_CHECKING:
    from durable.cell import Cell
    from durable.contract import DurableObject

MAX_MESSAGE_BYTES: Final = 33_554_432
TOO_LARGE: Final = (
    "WebSocket protocol error; protocolError.statusCode = 1009; "
    "protocolError.description = Message is too large"
)
_BEHIND: Final = 256
"""More waiting messages than this make the sender wait (`LocalSocket.writable`), or more bytes: """
_BEHIND_BYTES: Final = 1024 * 1024
_STRETCH_SECONDS: Final = 0.005
"""Messages of one socket are worked off at one stretch for so long."""

_NOT_ACCEPTED: Final = (
    "you must call 'acceptWebSocket()' before attempting to access the tags of a WebSocket."
)


class _Inbox:
    """What arrived on one socket and waits for the actor."""

    __slots__ = ("bytes", "is_busy", "items", "watchers")

    def __init__(self) -> None:
        # A list: an empty deque takes 600 bytes, and there are many idle sockets.
        self.items: list[Message | Closed | SocketStateError] = []
        self.bytes = 0
        self.is_busy = False
        self.watchers: list[asyncio.Future[None]] = []

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that the sender should."""
        return len(self.items) > _BEHIND or self.bytes > _BEHIND_BYTES

    def take(self) -> Message | Closed | SocketStateError:
        """Return the next, and let the sender go on when little is left."""
        item = self.items.pop(0)
        if isinstance(item, (str, bytes)):
            self.bytes -= len(item)
        if self.watchers and not self.is_behind:
            self.wake()
        return item

    def wake(self) -> None:
        """Tell who waits for the actor to catch up."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)


class SocketHub:
    """The sockets of one object, oldest first."""

    __slots__ = ("_cell", "_inboxes", "auto_response")

    def __init__(self, cell: "Cell") -> None:
        self._cell = cell
        self._inboxes: dict[LocalSocket, _Inbox] = {}
        self.auto_response: tuple[str, str] | None = None

    def __len__(self) -> int:
        return len(self._inboxes)

    @property
    def is_quiet(self) -> bool:
        """Whether no message waits or is being handled."""
        return not any(box.is_busy or box.items for box in self._inboxes.values())

    def accept(self, ws: LocalSocket, tags: Any) -> None:
        """Take *ws* over. Errors: see `ObjectContext.accept_web_socket`."""
        distinct = check_tags(tags)
        if len(self._inboxes) >= MAX_SOCKETS:
            raise SocketStateError(
                f"only {MAX_SOCKETS} websockets can be accepted on a single Durable Object instance"
            )
        inbox = _Inbox()
        self._inboxes[ws] = inbox
        try:
            ws.take_over(self, distinct)
        except SocketStateError:
            if self._inboxes.get(ws) is inbox and ws.owner is not self:
                del self._inboxes[ws]
            raise

    def sockets(self, tag: str | None) -> list[LocalSocket]:
        """Return the sockets, newest first."""
        return [ws for ws in reversed(self._inboxes) if tag is None or (ws.tags and tag in ws.tags)]

    def tags(self, ws: LocalSocket) -> list[str]:
        """Return the tags of an accepted socket."""
        if ws.tags is None or ws.owner is not self:
            raise SocketStateError(_NOT_ACCEPTED)
        return list(ws.tags)

    def drop_all(self, closed: Closed) -> None:
        """End every socket at once; no handler is called."""
        inboxes, self._inboxes = self._inboxes, {}
        for ws, inbox in inboxes.items():
            inbox.wake()
            ws.cut(closed)

    # -- as owner of the sockets ---------------------------------------------------------------

    def incoming(self, ws: LocalSocket, item: Message | Closed) -> None:
        """Answer by itself, or queue for the actor."""
        inbox = self._inboxes.get(ws)
        if inbox is None:
            return
        if isinstance(item, Closed):
            ws.note_close(item)
        elif self._answers(ws, item):
            return
        elif len(item) * 4 > MAX_MESSAGE_BYTES and _length(item) > MAX_MESSAGE_BYTES:
            inbox.items.append(SocketStateError(TOO_LARGE))
            ws.note_close(Closed(1009, was_clean=False))
            ws.cut(Closed(1009, "Message is too large", was_clean=False))
            self._next(ws, inbox)
            return
        else:
            inbox.bytes += len(item)
        inbox.items.append(item)
        if not inbox.is_busy:
            self._next(ws, inbox)

    def hold(self, action: Callable[[], None]) -> bool:
        """Do *action* when what the object wrote is durable; False when it never will be."""
        instance = self._cell.instance
        running = CURRENT_INSTANCE.get()
        if running is not None and running.cell is self._cell and running is not instance:
            return False  # an instance that was reset: nothing of it gets out
        if instance is None:
            action()
        else:
            instance.hold(action)
        return True

    def is_behind(self, ws: LocalSocket) -> bool:
        """Whether many messages of *ws* wait."""
        inbox = self._inboxes.get(ws)
        return inbox is not None and inbox.is_behind

    async def caught_up(self, ws: LocalSocket) -> None:
        """Wait until few messages of *ws* wait."""
        inbox = self._inboxes.get(ws)
        while inbox is not None and inbox.is_behind and ws in self._inboxes:
            watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            inbox.watchers.append(watcher)
            await watcher

    def _answers(self, ws: LocalSocket, item: Message) -> bool:
        pair = self.auto_response
        if pair is None or item != pair[0]:
            return False
        ws.auto_response_ms = self._cell.now_ms()
        if ws.ready_state != CLOSED:
            ws.peer.arrive((pair[1],))
        return True

    def _next(self, ws: LocalSocket, inbox: _Inbox) -> None:
        if inbox.is_busy or not inbox.items:
            return
        inbox.is_busy = True

        async def handle(instance: Instance, actor: "DurableObject") -> None:
            try:
                await self._work_off(ws, inbox, instance, actor)
            finally:
                inbox.is_busy = False
                if instance.broken is None:
                    self._next(ws, inbox)

        def settle(_result: Any, error: BaseException | None, _is_reset: bool) -> None:
            if error is not None:
                inbox.is_busy = False

        try:
            self._cell.deliver_inside(handle, settle)
        except Exception as error:
            inbox.is_busy = False
            self._cell.log("web socket event lost", {"error": repr(error)})
            self._forget(ws)
            ws.cut(Closed(1011, "The object does not answer.", was_clean=False))

    async def _work_off(
        self, ws: LocalSocket, inbox: _Inbox, instance: Instance, actor: "DurableObject"
    ) -> None:
        """
        Hand the actor what waits, one after the other, in one task.

        A task for each message costs more than a small message does. As soon as others may have
        moved in between (the handler gave way, or closed the gate), the next message is an event
        of its own again; also after a while, so that others get their turn.
        """
        turn, now = CURRENT_TURN.get(), asyncio.get_running_loop().time
        assert turn is not None
        until = now() + _STRETCH_SECONDS
        while inbox.items:
            item = inbox.take()
            try:
                await _call(actor, ws, item)
            except Exception as error:
                # The socket stays open: one bad message must not end a conversation.
                self._cell.log("web socket handler failed", {"error": repr(error)})
            finally:
                if instance.broken is None:
                    self._after(ws, item)
            if turn.has_waited or instance.gate.is_closed or instance.broken is not None:
                return
            if now() > until:
                return

    def _after(self, ws: LocalSocket, item: Message | Closed | SocketStateError) -> None:
        if isinstance(item, Closed):
            ws.echo_close(item)
        if isinstance(item, (Closed, SocketStateError)):
            self._forget(ws)

    def _forget(self, ws: LocalSocket) -> None:
        inbox = self._inboxes.pop(ws, None)
        if inbox is not None:
            inbox.wake()


async def _call(
    actor: "DurableObject", ws: LocalSocket, item: Message | Closed | SocketStateError
) -> None:
    kind = type(actor)
    if isinstance(item, Closed):
        handler = getattr(kind, "web_socket_close", None)
        if handler is not None:
            await handler(actor, ws, item.code, item.reason, item.was_clean)
    elif isinstance(item, SocketStateError):
        handler = getattr(kind, "web_socket_error", None)
        if handler is not None:
            await handler(actor, ws, item)
    else:
        handler = getattr(kind, "web_socket_message", None)
        if handler is not None:
            await handler(actor, ws, item)


def _length(item: Message) -> int:
    return len(item) if isinstance(item, bytes) else len(item.encode("utf-8", "replace"))
