"""Frames as Protobuf (relay.proto): the encoding of programs, and the fast one."""

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from worker.relay import relay_pb2 as pb
from worker.relay.inbox.model import (
    ACTIONS,
    EVENTS,
    Ack,
    Action,
    Delivery,
    Event,
    FrameError,
    Listing,
    Message,
    Send,
    Sent,
)


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
        kind, asked = ACTIONS[name], getattr(read, name)
        if kind is Ack:
            return read.seq, Ack(tuple(asked.ids))
        return read.seq, kind(*(getattr(asked, member) for member in kind._fields))

    def encode(self, seq: int, event: Event) -> bytes:
        """See `Frames.encode`."""
        members = event._asdict()
        if type(event) is Listing:
            members["messages"] = [one._asdict() for one in event.messages]
        frame = pb.ServerFrame(seq=seq, **{EVENTS[type(event)]: members})
        made: bytes = frame.SerializeToString()
        return made

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
