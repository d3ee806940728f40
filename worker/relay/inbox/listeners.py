"""
The listeners of one inbox: each a socket with whose it is, how it speaks and how far it got.

Together they decide who may still listen, who gets what, and what may be removed then.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from durable.contract import ObjectContext
from worker.env import Env
from worker.limits import KIB
from worker.relay.inbox.frames import JSON, Frames, protobuf
from worker.relay.inbox.model import RELAY_CHUNK_BYTES, RELAY_CHUNK_MESSAGES, Event
from worker.relay.inbox.store import InboxStore, Waiting

# Sockets of one account; the oldest makes room.
RELAY_SOCKETS = 32
# What may wait for one socket before nothing more is pushed to it, or read from it. In the smallest
# answers to a send (29 bytes) well below the 10,000 messages at which a host cuts a socket.
RELAY_BUFFER_BYTES = 128 * KIB
# The same for pushed messages (80 bytes at least).
RELAY_PUSH_BYTES = 512 * KIB
# Pushed and not acknowledged on one socket with ack=1.
RELAY_UNACKED = 256
# How often sockets are checked for sessions that have ended.
RELAY_CHECK_MS = 5 * 1000

OPEN: Final = 1

# Close codes; docs/relay.md tells clients what to do about each.
WRONG_TYPE: Final = 1003
TOO_LARGE: Final = 1009
UNAVAILABLE: Final = 1011
TOKEN_EXPIRED: Final = 4401
SESSION_ENDED: Final = 4403
ACCOUNT_GONE: Final = 4404
REPLACED: Final = 4409
IDENTITY_CHANGED: Final = 4410
FLOODING: Final = 4429


class Listener:
    """
    A socket with what the inbox knows of it.

    *kept* is its attachment, so it survives hibernation: sid (the session that signed in), until_ms
    (the token's end), name (the username), ack, json, spared (no rate limit), sub, cursor.
    """

    __slots__ = (
        "_looked_at",
        "_marks",
        "_sent_bytes",
        "cursor",
        "fetching",
        "frames",
        "kept",
        "refused",
        "subscribed",
        "written",
        "ws",
    )

    def __init__(self, ws: Any, kept: dict[str, Any]) -> None:
        self.ws = ws
        self.kept = kept
        self.frames: Frames = JSON if kept["json"] else protobuf()
        self.subscribed: bool = kept["sub"]
        self.cursor: int = kept["cursor"]
        """The place of the last message that was sent here."""
        self.written = self.cursor
        """The place of the last message that the network has taken."""
        self.fetching = False
        """A fetch is under way here."""
        self.refused = 0
        """Frames that were refused and are waited for."""
        self._sent_bytes = 0
        self._looked_at = 0
        self._marks: deque[tuple[int, int]] = deque()

    @property
    def acks(self) -> bool:
        """Whether messages stay until the client acknowledges them."""
        return bool(self.kept["ack"])

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return int(self.ws.ready_state) == OPEN

    @property
    def has_room(self) -> bool:
        """Whether the network keeps up with what is sent here."""
        return int(self.ws.buffered_amount) < RELAY_BUFFER_BYTES

    @property
    def has_push_room(self) -> bool:
        """The same for messages, which are larger than answers."""
        return int(self.ws.buffered_amount) < RELAY_PUSH_BYTES

    @property
    def is_flooded(self) -> bool:
        """The same question turned round, asked for each frame: looks when much was sent since."""
        if self._sent_bytes - self._looked_at < RELAY_BUFFER_BYTES // 4:
            return False
        self._looked_at = self._sent_bytes
        return not self.has_room

    @property
    def is_settled(self) -> bool:
        """Whether the network has taken all messages that were sent here."""
        return not self._marks

    def keep(self, **changed: Any) -> None:
        """Change what survives hibernation."""
        self.kept = {**self.kept, **changed}
        self.ws.serialize_attachment(self.kept)

    def tell(self, seq: int, event: Event) -> None:
        """Send one event, if the socket is still open."""
        if self.is_open:
            self._send([self.frames.encode(seq, event)])

    def tell_all(self, answers: Sequence[tuple[int, Event]]) -> None:
        """Send events with their seqs, if the socket is still open."""
        if self.is_open:
            self._send(self.frames.answers(answers))

    def deliver(self, messages: Sequence[Waiting]) -> None:
        """Send *messages*, which follow on the last that was sent here."""
        if not messages or not self.is_open:
            return
        self._send(self.frames.deliveries([one.event for one in messages]))
        self.cursor = messages[-1].seq
        self._marks.append((self._sent_bytes, self.cursor))

    def _send(self, frames: Sequence[str | bytes]) -> None:
        self._sent_bytes += sum(map(len, frames))
        self.ws.send_many(frames)

    def settle(self) -> bool:
        """Look how far the network got; True when it got further."""
        if not self._marks or not self.is_open:
            return False
        taken = self._sent_bytes - int(self.ws.buffered_amount)
        before = self.written
        while self._marks and self._marks[0][0] <= taken:
            self.written = self._marks.popleft()[1]
        return bool(self.written != before)

    def skip_to(self, place: int) -> None:
        """Nothing more waits up to *place*."""
        if not self._marks:
            self.cursor = self.written = max(self.cursor, place)

    def end(self, code: int, reason: str) -> None:
        """Close the socket."""
        if self.is_open:
            self.ws.close(code, reason)


class Listeners:
    """All sockets of the account, oldest first."""

    def __init__(self, ctx: ObjectContext, env: Env) -> None:
        self._env = env
        self._checked_ms = 0
        # Rebuilt from the attachments each time the instance wakes.
        self._all: dict[Any, Listener] = {
            ws: Listener(ws, kept)
            for ws in reversed(ctx.get_web_sockets())
            if (kept := ws.deserialize_attachment()) is not None
        }

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Listener]:
        return iter(list(self._all.values()))

    def get(self, ws: Any) -> Listener | None:
        """Return the listener of *ws*, or None when it has ended."""
        return self._all.get(ws)

    def add(self, listener: Listener) -> None:
        """Take a new socket in; of too many the oldest ends."""
        self._all[listener.ws] = listener
        while len(self._all) > RELAY_SOCKETS:
            self.end(next(iter(self._all.values())), REPLACED, "Too many sockets: the oldest went.")

    def drop(self, ws: Any) -> None:
        """Forget a socket that is closed."""
        self._all.pop(ws, None)

    def end(self, listener: Listener, code: int, reason: str) -> None:
        """Close a socket and forget it."""
        self.drop(listener.ws)
        listener.end(code, reason)

    def end_all(self, code: int, reason: str, but: str = "") -> None:
        """Close every socket, except those of the session *but*."""
        for listener in self:
            if not but or listener.kept["sid"] != but:
                self.end(listener, code, reason)

    # -- who may still listen ----------------------------------------------------------------------

    async def check(self, now_ms: int) -> None:
        """End sockets whose token has expired; now and then, those whose session has ended."""
        for listener in self:
            if now_ms >= listener.kept["until_ms"]:
                self.end(listener, TOKEN_EXPIRED, "The token has expired.")
        if 0 <= now_ms - self._checked_ms < RELAY_CHECK_MS:
            return
        self._checked_ms = now_ms
        for listener in self:
            sid = listener.kept["sid"]
            if await self._env.access.is_revoked(sid, self._env.db, now_ms / 1000):
                self.end(listener, SESSION_ENDED, "The session has ended.")

    def is_check_due(self, listener: Listener, now_ms: int) -> bool:
        """Whether `check` has something to do before *listener* is served."""
        is_fresh = 0 <= now_ms - self._checked_ms < RELAY_CHECK_MS
        return not is_fresh or now_ms >= listener.kept["until_ms"]

    def next_end_ms(self) -> int | None:
        """When the first token expires of those sockets that do not close by themselves."""
        ends = [s.kept["until_ms"] for s in self._all.values() if not s.kept["timer"]]
        return min(ends, default=None)

    # -- who gets what -----------------------------------------------------------------------------

    def is_taken_elsewhere(self, listener: Listener) -> bool:
        """Whether what another socket fetched, or fetches, is still on its way to it."""
        return any(
            other.fetching or not (other.subscribed or other.is_settled)
            for other in self._all.values()
            if other is not listener and other.is_open and not other.acks
        )

    @property
    def are_listening(self) -> bool:
        """Whether anybody is subscribed, or still gets what it fetched."""
        return any(s.subscribed or not s.is_settled for s in self._all.values())

    def are_behind(self, store: InboxStore) -> bool:
        """Whether somebody is to get what has to be read from the store."""
        return any(s.subscribed and s.cursor < store.last for s in self._all.values())

    def push(self, added: list[Waiting], store: InboxStore) -> None:
        """Send what was just stored to those who have everything before it, and room."""
        before = added[0].seq - 1
        for listener in self._all.values():
            is_next = listener.subscribed and listener.cursor == before
            if is_next and _room(listener, store) >= len(added):
                deliver(listener, added, store)

    def step(self, store: InboxStore) -> tuple[bool, bool]:
        """
        Go on with what is under way; return (something is left to do, something was done).

        Messages leave the store here: after the network has taken them, never before.
        """
        is_left = is_done = False
        for listener in self._all.values():
            is_done |= listener.settle()
            if listener.subscribed and listener.cursor < store.last:
                is_left_here, is_done_here = _catch_up(listener, store)
                is_left |= is_left_here
                is_done |= is_done_here
            is_left |= listener.is_open and not listener.is_settled
        before = len(store)
        store.remove_upto(self._removable())
        return is_left, is_done or len(store) != before

    def keep_places(self) -> None:
        """Keep how far sockets with ack=1 got: what they have is not sent there again."""
        for listener in self._all.values():
            if listener.acks and listener.is_open and listener.kept["cursor"] != listener.cursor:
                listener.keep(cursor=listener.cursor)

    def _removable(self) -> int:
        """
        Up to which place messages may leave: what was fetched, and what all subscribers have got.

        As long as a socket with ack=1 is open, only acknowledgements remove.
        """
        open_ones = [listener for listener in self._all.values() if listener.is_open]
        if any(listener.acks for listener in open_ones):
            return 0
        taking = [listener.written for listener in open_ones if not listener.subscribed]
        if listening := [listener.written for listener in open_ones if listener.subscribed]:
            taking.append(min(listening))
        return max(taking, default=0)


def deliver(listener: Listener, messages: Sequence[Waiting], store: InboxStore) -> None:
    """Send *listener* what follows on the last that it got; with ack=1 it stays until its ack."""
    listener.deliver(messages)
    if listener.acks:
        store.hold(listener.cursor)


def _catch_up(listener: Listener, store: InboxStore) -> tuple[bool, bool]:
    """Send *listener* some of its backlog; return (more is left, some was sent)."""
    room = _room(listener, store)
    if not room:
        # With acknowledgements the next ack goes on; else the network has to.
        return not listener.acks, False
    found = store.read(listener.cursor, room, RELAY_CHUNK_BYTES)
    if found:
        deliver(listener, found, store)
        return True, True
    listener.skip_to(store.last)
    return False, True


def _room(listener: Listener, store: InboxStore) -> int:
    """How many messages may be sent to *listener* now."""
    if not listener.is_open or not listener.has_push_room:
        return 0
    if not listener.acks:
        return RELAY_CHUNK_MESSAGES
    return max(0, RELAY_UNACKED - (len(store) - store.behind(listener.cursor)))
