"""Frames as Protobuf (relay.proto): the encoding of programs, and the fast one."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError

from worker.relay import relay_pb2 as pb
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

_ACTIONS: Final[dict[str, Callable[[Any], Action]]] = {
    "list": lambda one: ListInbox(one.limit, one.after),
    "fetch": lambda one: Fetch(one.limit),
    "subscribe": lambda _: Subscribe(),
    "unsubscribe": lambda _: Unsubscribe(),
    "ack": lambda one: Ack(tuple(one.ids)),
    "ping": lambda _: Ping(),
}


def _listing(event: Any) -> Any:
    return pb.Listing(
        messages=[pb.Listed(**one._asdict()) for one in event.messages], total=event.total
    )


# The member of ServerFrame, and the message in it.
_EVENTS: Final[dict[type[Event], tuple[str, Callable[[Any], Any]]]] = {
    Sent: ("sent", lambda one: pb.Sent(**one._asdict())),
    Message: ("message", lambda one: pb.Message(**one._asdict())),
    Listing: ("listing", _listing),
    Fetched: ("fetched", lambda one: pb.Fetched(**one._asdict())),
    Subscribed: ("subscribed", lambda one: pb.Subscribed(**one._asdict())),
    Refused: ("error", lambda one: pb.Error(**one._asdict())),
    KeysLow: ("keys_low", lambda one: pb.KeysLow(**one._asdict())),
    IdentityChanged: ("identity_changed", lambda one: pb.IdentityChanged(**one._asdict())),
    Pong: ("pong", lambda _: pb.Pong()),
    Acked: ("acked", lambda one: pb.Acked(**one._asdict())),
}


class ProtobufFrames:
    """See `worker.relay.inbox.frames.Frames`."""

    frame_type = bytes

    def decode(self, frame: str | bytes) -> tuple[int, Action]:
        """See `Frames.decode`."""
        try:
            read = pb.ClientFrame.FromString(frame)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            raise FrameError("bad_frame", "This is not a ClientFrame of relay.proto.") from None
        name = read.WhichOneof("action")
        if name == "send":
            sent = read.send
            return read.seq, Send(sent.to, sent.ciphertext, sent.client_id)
        if name is None:
            raise FrameError("unknown_frame", "This version knows no such action.", read.seq)
        return read.seq, _ACTIONS[name](getattr(read, name))

    def encode(self, seq: int, event: Event) -> bytes:
        """See `Frames.encode`."""
        name, message = _EVENTS[type(event)]
        frame: bytes = pb.ServerFrame(seq=seq, **{name: message(event)}).SerializeToString()
        return frame

    def answers(self, answers: Iterable[tuple[int, Event]]) -> list[bytes]:
        """See `Frames.answers`."""
        # One frame is filled anew for each: building one costs three times as much.
        frame = pb.ServerFrame()
        filled = frame.sent
        made: list[bytes] = []
        for seq, event in answers:
            if type(event) is not Sent:
                made.append(self.encode(seq, event))
                continue
            frame.seq = seq
            filled.id, filled.at_ms, filled.duplicate = event
            made.append(frame.SerializeToString())
        return made

    def deliveries(self, events: Iterable[Delivery]) -> list[bytes]:
        """See `Frames.deliveries`."""
        frame = pb.ServerFrame()
        filled = frame.message
        made: list[bytes] = []
        for event in events:
            if type(event) is not Message:
                made.append(self.encode(0, event))
                continue
            filled.id, filled.sender, filled.sender_name, filled.at_ms, filled.ciphertext = event
            made.append(frame.SerializeToString())
        return made
