"""Frames of the relay: round trips, both encodings alike, nothing but FrameError for rubbish."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from worker.relay import relay_pb2 as pb
from worker.relay.inbox.frames import JSON, Frames, chosen, protobuf
from worker.relay.inbox.model import (
    Ack,
    Acked,
    Action,
    Event,
    Fetch,
    Fetched,
    FrameError,
    IdentityChanged,
    KeysLow,
    Listed,
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

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.binary(min_size=16, max_size=16)
SMALL = st.integers(0, 2**32 - 1)
TIMES = st.integers(0, 2**53 - 1)
SEQS = st.integers(0, 2**53 - 1)
ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(Send, TEXTS, st.binary(max_size=200), TEXTS),
    st.builds(ListInbox, SMALL, IDS),
    st.builds(Fetch, SMALL),
    st.builds(Subscribe),
    st.builds(Unsubscribe),
    st.builds(Ack, st.lists(IDS, max_size=5).map(tuple)),
    st.builds(Ping),
)
LISTED = st.builds(Listed, IDS, TEXTS, TEXTS, TIMES, SMALL)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Sent, IDS, TIMES, st.booleans()),
    st.builds(Message, IDS, TEXTS, TEXTS, TIMES, st.binary(max_size=200)),
    st.builds(Listing, st.lists(LISTED, max_size=4).map(tuple), SMALL),
    st.builds(Fetched, SMALL, SMALL),
    st.builds(Subscribed, st.booleans(), SMALL),
    st.builds(Refused, TEXTS, TEXTS, SMALL),
    st.builds(KeysLow, SMALL),
    st.builds(IdentityChanged, IDS, TEXTS, TEXTS, TIMES),
    st.builds(Pong),
    st.builds(Acked, SMALL),
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["send", "list", "fetch", "ack", "ping", "subscribe", "seq", "dance"])
NEARLY = st.dictionaries(
    NAMES,
    ANY_JSON
    | st.dictionaries(st.sampled_from(["to", "ciphertext", "limit", "after", "ids"]), ANY_JSON),
    max_size=3,
)


def as_client(seq: int, action: Action) -> bytes:
    """Return the Protobuf frame that a client makes of *action*."""
    name = {ListInbox: "list"}.get(type(action), type(action).__name__.lower())
    message = getattr(pb, name.capitalize())(**action._asdict())
    frame: bytes = pb.ClientFrame(seq=seq, **{name: message}).SerializeToString()
    return frame


@given(SEQS, ACTIONS)
def test_an_action_arrives_as_it_was_said(seq: int, action: Action) -> None:
    """In Protobuf, and in JSON made from the same message by Protobuf's own rules."""
    raw = as_client(seq, action)
    assert protobuf().decode(raw) == (seq, action)
    shown = MessageToDict(pb.ClientFrame.FromString(raw), preserving_proto_field_name=True)
    shown["seq"] = seq
    assert JSON.decode(json.dumps(shown)) == (seq, action)


@given(SEQS, st.lists(EVENTS, max_size=4))
def test_an_event_says_the_same_in_both_encodings(seq: int, events: list[Event]) -> None:
    """What a client of each kind reads is equal, one by one and many at a time."""
    for event in events:
        raw = protobuf().encode(seq, event)
        read = MessageToDict(
            pb.ServerFrame.FromString(raw),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        said = json.loads(JSON.encode(seq, event))
        assert numbers(read) == {"seq": seq, **said}
    answers = [(seq, event) for event in events]
    assert list(protobuf().answers(answers)) == [protobuf().encode(*one) for one in answers]
    assert list(JSON.answers(answers)) == [JSON.encode(*one) for one in answers]
    out = [one for one in events if isinstance(one, (Message, IdentityChanged))]
    assert list(protobuf().deliveries(out)) == [protobuf().encode(0, one) for one in out]
    assert list(JSON.deliveries(out)) == [JSON.encode(0, one) for one in out]


def numbers(read: Any) -> Any:
    """Return Protobuf's JSON with its 64-bit numbers, which it writes as texts, as numbers."""
    if isinstance(read, dict):
        return {
            name: int(value) if name in ("seq", "at_ms") else numbers(value)
            for name, value in read.items()
        }
    return [numbers(one) for one in read] if isinstance(read, list) else read


def outcome(frames: Frames, raw: str | bytes) -> tuple[int, Action] | FrameError:
    """Return what *raw* says, or why it says nothing."""
    try:
        return frames.decode(raw)
    except FrameError as error:
        return error


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_a_frame_error(raw: bytes) -> None:
    """Nothing else comes out of rubbish."""
    read = outcome(protobuf(), raw)
    if isinstance(read, FrameError):
        assert read.code in ("bad_frame", "unknown_frame")
    else:
        assert protobuf().decode(as_client(*read)) == read


@given(st.text(max_size=200) | NEARLY.map(json.dumps) | ANY_JSON.map(json.dumps))
def test_any_text_is_a_frame_or_a_frame_error(raw: str) -> None:
    """Nothing else comes out of rubbish."""
    read = outcome(JSON, raw)
    if isinstance(read, FrameError):
        assert read.code in ("bad_frame", "unknown_frame")
        assert JSON.encode(read.seq, Refused(read.code, read.detail))
    assert 0 <= (read.seq if isinstance(read, FrameError) else read[0]) < 2**53


@pytest.mark.parametrize(
    ("offered", "answer", "is_json"),
    [
        ("", "", False),
        ("chat", "", False),
        ("edgekeep.relay.v1", "edgekeep.relay.v1", False),
        ("chat , edgekeep.relay.v1.json", "edgekeep.relay.v1.json", True),
        ("edgekeep.relay.v1,edgekeep.relay.v1.json", "edgekeep.relay.v1", False),
    ],
)
def test_the_first_subprotocol_that_we_know_counts(
    offered: str, answer: str, is_json: bool
) -> None:
    """Without one it is Protobuf, and none is answered."""
    protocol, frames = chosen(offered)
    assert protocol == answer
    assert (frames is JSON) == is_json
