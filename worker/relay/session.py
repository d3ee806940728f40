"""One open socket of an inbox: whose it is, how it speaks, how far it got."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from worker.limits import RELAY_BUFFER_BYTES, RELAY_PUSH_BYTES
from worker.relay.frames import JSON, Frames, protobuf
from worker.relay.inbox_store import Waiting
from worker.relay.model import Event

OPEN: Final = 1

# Close codes; docs/relay.md tells clients what to do about each.
WRONG_TYPE: Final = 1003
TOO_LARGE: Final = 1009
TOKEN_EXPIRED: Final = 4401
SESSION_ENDED: Final = 4403
ACCOUNT_GONE: Final = 4404
REPLACED: Final = 4409
IDENTITY_CHANGED: Final = 4410


class Session:
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
        "frames",
        "kept",
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
