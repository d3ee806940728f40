"""Frames as JSON, for people with wscat: the names of relay.proto, bytes as base64."""

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from typing import Any, Final

from worker.relay.inbox.model import (
    Ack,
    Acked,
    Action,
    Delivery,
    Event,
    Fetch,
    Fetched,
    FrameError,
    IdentityChanged,
    KeysLow,
    ListInbox,
    Listing,
    Message,
    Ping,
    Pong,
    Refused,
    Send,
    Sent,
    Subscribe,
    Subscribed,
    Unsubscribe,
)

# JavaScript counts no further without loss.
_LARGEST = 2**53 - 1


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


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _bad("Bytes are written as base64.")
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _bad("Bytes are written as base64, with padding.") from None


def _ids(members: dict[str, Any]) -> tuple[bytes, ...]:
    ids = members.get("ids", [])
    if not isinstance(ids, list):
        raise _bad("ids must be a list.")
    return tuple(map(_bytes, ids))


def _bad(detail: str) -> FrameError:
    return FrameError("bad_frame", detail)


_ACTIONS: Final[dict[str, Callable[[dict[str, Any]], Action]]] = {
    "send": lambda one: Send(
        _text(one, "to"), _bytes(one.get("ciphertext", "")), _text(one, "client_id")
    ),
    "list": lambda one: ListInbox(_number(one, "limit"), _bytes(one.get("after", ""))),
    "fetch": lambda one: Fetch(_number(one, "limit")),
    "subscribe": lambda _: Subscribe(),
    "unsubscribe": lambda _: Unsubscribe(),
    "ack": lambda one: Ack(_ids(one)),
    "ping": lambda _: Ping(),
}
_EVENTS: Final[dict[type[Event], str]] = {
    Sent: "sent",
    Message: "message",
    Listing: "listing",
    Fetched: "fetched",
    Subscribed: "subscribed",
    Refused: "error",
    KeysLow: "keys_low",
    IdentityChanged: "identity_changed",
    Pong: "pong",
    Acked: "acked",
}


class JsonFrames:
    """See `worker.relay.inbox.frames.Frames`."""

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
            action = _ACTIONS.get(found[0])
            if action is None:
                raise FrameError("unknown_frame", "This version knows no such action.")
            members = read[found[0]]
            if not isinstance(members, dict):
                raise _bad("An action is an object.")
            return seq, action(members)
        except FrameError as error:
            error.seq = seq
            raise

    def encode(self, seq: int, event: Event) -> str:
        """See `Frames.encode`."""
        answered = {"seq": seq} if seq else {}
        name = _EVENTS[type(event)]
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
