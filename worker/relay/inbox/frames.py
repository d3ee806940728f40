"""The two encodings of frames behind one interface, and which of them a handshake asks for."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, Protocol

from worker.relay.inbox.frames_json import JsonFrames
from worker.relay.inbox.model import Action, Delivery, Event

PROTOBUF_PROTOCOL: Final = "edgekeep.relay.v1"
JSON_PROTOCOL: Final = "edgekeep.relay.v1.json"


class Frames(Protocol):
    """One encoding. A frame of Protobuf is a binary message, one of JSON a text message."""

    @property
    def frame_type(self) -> type[str] | type[bytes]:
        """What a frame arrives as."""

    def decode(self, frame: str | bytes) -> tuple[int, Action]:
        """Return seq and action. FrameError when the frame cannot be read."""

    def encode(self, seq: int, event: Event) -> str | bytes:
        """Return the frame of *event*."""

    def answers(self, answers: Iterable[tuple[int, Event]]) -> Sequence[str | bytes]:
        """Return the frame of each seq and event."""

    def deliveries(self, events: Iterable[Delivery]) -> Sequence[str | bytes]:
        """Return a frame for each of *events*, with seq 0."""


JSON: Final[Frames] = JsonFrames()


@cache
def protobuf() -> Frames:
    """Return the Protobuf encoding; its package is loaded now, because a host may never need it."""
    from worker.relay.inbox.frames_protobuf import ProtobufFrames

    return ProtobufFrames()


def chosen(offered: str) -> tuple[str, Frames]:
    """
    Return the subprotocol to answer with ("": none) and the encoding.

    *offered* is Sec-WebSocket-Protocol: the first that we know counts; without one it is Protobuf.
    """
    for name in (part.strip() for part in offered.split(",")):
        if name == PROTOBUF_PROTOCOL:
            return name, protobuf()
        if name == JSON_PROTOCOL:
            return name, JSON
    return "", protobuf()
