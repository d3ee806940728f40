"""What clients send that is wrong: an error frame or a close with a code, never a failure."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.relay import JSON, Peer, User, text64, user
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import until
from worker.relay import relay_pb2 as pb

LIMIT = 65_536


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host with fresh state; nothing unexpected may stand in its log afterwards."""
    async with running_host(tmp_path / "state") as started:
        yield started
        assert [one for one in started.events() if one["level"] == "error"] == []


@pytest.fixture
async def ada(host: RunningHost) -> User:
    """Somebody."""
    return await user(host, "ada")


async def test_what_is_wrong_with_a_message_is_said_and_the_socket_goes_on(ada: User) -> None:
    """Unknown recipient, impossible name, empty, oversize, a client_id that is too long."""
    peer = await ada.socket()
    wrong = {
        "unknown_recipient": [
            ("nobody", b"x"),
            ("", b"x"),
            ("no such name!", b"x"),
            ("x" * 300, b"x"),
        ],
        "empty": [("ada", b"")],
        "too_large": [("ada", b"x" * (LIMIT + 1))],
    }
    for code, cases in wrong.items():
        for to, text in cases:
            frame = await peer.send(to, text)
            assert frame.error.code == code
            assert frame.error.detail
    unknown_id = "01a1fede-8ac0-7920-9735-5b89c6c8bb03"
    assert (await peer.send(unknown_id, b"x")).error.code == "unknown_recipient"
    assert (await peer.send("ada", b"x", "c" * 101)).error.code == "bad_frame"
    assert (await peer.send("ada", b"x" * LIMIT)).WhichOneof("event") == "sent"
    assert await ada.waiting() == 1


async def test_a_disabled_account_gets_nothing(ada: User) -> None:
    """To a sender it looks like one that never was."""
    bob = await user(ada.host, "bob")
    await (
        ada.host.env.db.prepare("UPDATE accounts SET disabled_at = 1 WHERE id = ?")
        .bind(bob.id)
        .run()
    )
    peer = await ada.socket()
    for name in ("bob", bob.id):
        assert (await peer.send(name, b"x")).error.code == "unknown_recipient"


async def test_broken_and_unknown_protobuf_is_refused_and_the_socket_goes_on(ada: User) -> None:
    """No frame at all, half a frame, a text that is not UTF-8, an action of the future."""
    peer = await ada.socket()
    whole = pb.ClientFrame(seq=5, send=pb.Send(to="ada", ciphertext=b"x")).SerializeToString()
    for raw, code in (
        (b"\xff\xff\xff", "bad_frame"),
        (whole[:-1], "bad_frame"),
        (b"\x12\x03\x0a\x01\xff", "bad_frame"),
        (b"", "unknown_frame"),
        (b"\x08\x05", "unknown_frame"),
        (b"\x08\x07\xa2\x06\x01x", "unknown_frame"),
    ):
        await peer.ws.send_bytes(raw)
        assert (await peer.hear()).error.code == code
    too_many = pb.Ack(ids=[b"%d" % one for one in range(1001)])
    assert (await peer.ask(ack=too_many)).error.code == "bad_frame"
    assert (await peer.ask(ping=pb.Ping())).WhichOneof("event") == "pong"


async def test_broken_json_is_refused_and_the_socket_goes_on(ada: User) -> None:
    """Every way to get a frame wrong has a code; the seq is repeated where it could be read."""
    peer = await ada.json_socket()
    for frame, code in (
        ("{", "bad_frame"),
        ("[]", "bad_frame"),
        ("null", "bad_frame"),
        ("{}", "bad_frame"),
        ('{"seq":"1","ping":{}}', "bad_frame"),
        ('{"seq":true,"ping":{}}', "bad_frame"),
        ('{"seq":-1,"ping":{}}', "bad_frame"),
        ('{"seq":1e400,"ping":{}}', "bad_frame"),
        ('{"ping":{},"list":{}}', "bad_frame"),
        ('{"ping":1}', "bad_frame"),
        ('{"send":{"to":"ada","ciphertext":"%%%"}}', "bad_frame"),
        ('{"send":{"to":"ada","ciphertext":7}}', "bad_frame"),
        ('{"send":{"to":7,"ciphertext":"eA=="}}', "bad_frame"),
        ('{"send":{"to":"\\ud800","ciphertext":"eA=="}}', "bad_frame"),
        ('{"list":{"limit":-1}}', "bad_frame"),
        ('{"ack":{"ids":"eA=="}}', "bad_frame"),
        ("[" * 5000, "bad_frame"),
        ('{"dance":{}}', "unknown_frame"),
        ('{"send":{"to":"ada"}}', "empty"),
    ):
        assert (await peer.ask(frame))["error"]["code"] == code, frame
    assert (await peer.ask({"seq": 9, "dance": {}}))["seq"] == 9
    assert "pong" in await peer.ask({"ping": {"a field of the future": 1}})
    sent = await peer.ask({"send": {"to": "ada", "ciphertext": text64(b"x" * LIMIT)}})
    assert "sent" in sent


async def test_text_where_bytes_are_due_ends_the_socket(ada: User) -> None:
    """And the other way round: 1003."""
    binary = await ada.socket()
    await binary.ws.send_str('{"ping":{}}')
    assert await binary.closed() == 1003
    json = await ada.json_socket()
    await json.ws.send_bytes(pb.ClientFrame(ping=pb.Ping()).SerializeToString())
    assert await Peer(json.ws).closed() == 1003


async def test_a_frame_that_is_far_too_large_ends_the_socket(ada: User) -> None:
    """A megabyte is not even read to its end: 1009."""
    for protocols in ((), (JSON,)):
        ws = await ada.host.session.ws_connect(
            f"{ada.host.url}/ws?token={ada.token}", protocols=protocols
        )
        await (ws.send_str("x" * 1_048_576) if protocols else ws.send_bytes(b"x" * 1_048_576))
        assert await Peer(ws).closed() == 1009


async def test_an_unknown_subprotocol_is_not_answered(ada: User) -> None:
    """The client sees that nothing was agreed; frames are Protobuf then."""
    ws = await ada.host.session.ws_connect(
        f"{ada.host.url}/ws?token={ada.token}", protocols=["chat", "edgekeep.relay.v9"]
    )
    assert ws.protocol is None
    assert (await Peer(ws).ask(ping=pb.Ping())).WhichOneof("event") == "pong"


async def test_a_peer_that_vanished_is_found(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-open: pings are not answered, so the socket ends, and what comes then stays stored."""
    monkeypatch.setattr("worker.entry.host_sockets._HEARTBEAT_SECONDS", 0.2)
    bob = await user(ada.host, "bob")
    gone = await bob.socket()
    await gone.subscribe()
    # Nobody reads at its end, so nothing answers.
    await until(lambda: bob.live is None or not bob.live.sockets)
    monkeypatch.undo()
    await (await ada.socket()).send("bob", b"kept")
    assert await bob.waiting() == 1
