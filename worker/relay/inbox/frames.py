"""
The two encodings of frames behind one interface, and which of them a handshake asks for.

JSON is here, for people with wscat: the names of relay.proto, bytes as base64. Protobuf is in
`worker.relay.inbox.frames_protobuf`.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final, Protocol

from worker.codec import unb64_either
from worker.relay.inbox.model import ACTIONS, EVENTS, Action, Delivery, Event, FrameError

PROTOBUF_PROTOCOL: Final = "edgekeep.relay.v1"
JSON_PROTOCOL: Final = "edgekeep.relay.v1.json"
# JavaScript counts no further without loss.
_LARGEST = 2**53 - 1


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


# -- JSON ------------------------------------------------------------------------------------------


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name, "")
    if not isinstance(value, str):
        raise _bad(f"{name} must be a text.")
    # What cannot travel as UTF-8 cannot be anybody's name.
    if not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
        raise _bad(f"{name} must be Unicode text.")
    return value


def _number(members: dict[str, Any], name: str) -> int:
    value = members.get(name, 0)
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise _bad(f"{name} must be a whole number from 0.")
    return value


def _bytes(members: dict[str, Any], name: str) -> bytes:
    return _unb64(members.get(name, ""))


def _unb64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _bad("Bytes are written as base64.")
    try:
        return unb64_either(value)
    except ValueError:
        raise _bad("Bytes are written as base64.") from None


def _several(members: dict[str, Any], name: str) -> tuple[bytes, ...]:
    values = members.get(name, [])
    if not isinstance(values, list):
        raise _bad(f"{name} must be a list.")
    return tuple(map(_unb64, values))


def _bad(detail: str) -> FrameError:
    return FrameError("bad_frame", detail)


# How each member of an action is read.
_MEMBERS: Final[dict[str, Callable[[dict[str, Any], str], Any]]] = {
    "to": _text,
    "ciphertext": _bytes,
    "client_id": _text,
    "limit": _number,
    "after": _bytes,
    "ids": _several,
}


class JsonFrames:
    """See `Frames`."""

    frame_type = str

    def decode(self, frame: str | bytes) -> tuple[int, Action]:
        """See `Frames.decode`."""
        try:
            read = json.loads(frame)
        except (ValueError, RecursionError):
            raise _bad("This is not JSON.") from None
        if not isinstance(read, dict):
            raise _bad("A frame is an object.")
        seq = _number(read, "seq")
        found = [name for name in read if name != "seq"]
        try:
            if len(found) != 1:
                raise _bad("A frame has one action, and seq if you like.")
            kind = ACTIONS.get(found[0])
            if kind is None:
                raise FrameError("unknown_frame", "This version knows no such action.")
            members = read[found[0]]
            if not isinstance(members, dict):
                raise _bad("An action is an object.")
            return seq, kind(*(_MEMBERS[name](members, name) for name in kind._fields))
        except FrameError as error:
            error.seq = seq
            raise

    def encode(self, seq: int, event: Event) -> str:
        """See `Frames.encode`."""
        answered = {"seq": seq} if seq else {}
        name = EVENTS[type(event)]
        return json.dumps({**answered, name: _shown(event)}, separators=(",", ":"))

    def answers(self, answers: Iterable[tuple[int, Event]]) -> list[str]:
        """See `Frames.answers`."""
        return [self.encode(seq, event) for seq, event in answers]

    def deliveries(self, events: Iterable[Delivery]) -> list[str]:
        """See `Frames.deliveries`."""
        return [self.encode(0, event) for event in events]


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if hasattr(value, "_asdict"):
        return {name: _shown(member) for name, member in value._asdict().items()}
    if isinstance(value, tuple):
        return [_shown(one) for one in value]
    return value


# -- the choice ------------------------------------------------------------------------------------


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
