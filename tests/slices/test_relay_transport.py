"""The relay on the wire: handshakes that break, frames that are too large, spellings of bytes."""

import asyncio
import base64
import json
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from d1_schema.contract import D1Error
from tests.support.raw import connect, head
from tests.support.relay import HANDSHAKE, JSON, Peer, User, refused, text64, user
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker.relay import relay_pb2 as pb

LIMIT = 65_536
FRAME_LIMIT = 2 * LIMIT + 128 * 1024


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host with fresh state."""
    async with running_host(tmp_path / "state") as started:
        yield started


@pytest.fixture
async def ada(host: RunningHost) -> User:
    """Somebody."""
    return await user(host, "ada")


@pytest.fixture
async def bob(host: RunningHost) -> User:
    """Somebody else."""
    return await user(host, "bob")


def reset(port: int, request: bytes) -> None:
    """Send *request* and reset the connection at once."""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sendall(request)


async def test_a_hundred_resets_during_the_handshake_evict_nobody(
    host: RunningHost, bob: User
) -> None:
    """Each is let go at once, so the 32 sockets of an account are those that live."""
    living = await bob.socket()
    await living.subscribe()
    request = head("GET", f"/ws?token={bob.token}", HANDSHAKE)
    for _ in range(10):
        for _ in range(10):
            reset(host.port, request)
        # Only now does the host see them: each is gone before its answer can be written.
        await asyncio.sleep(0.02)
    others = [await bob.socket() for _ in range(31)]
    assert (await living.ask(ping=pb.Ping())).HasField("pong")
    assert (await others[0].ask(ping=pb.Ping())).HasField("pong")
    assert [one for one in host.events() if one["level"] == "error"] == []


async def test_a_handshake_that_is_refused_late_leaves_no_socket(
    host: RunningHost, bob: User
) -> None:
    """A key or a version that aiohttp refuses after the inbox has accepted."""
    living = await bob.socket()
    for _ in range(40):
        for wrong in ({"Sec-WebSocket-Version": "9"}, {"Sec-WebSocket-Key": "short"}):
            answer = await host.get(f"/ws?token={bob.token}", headers={**HANDSHAKE, **wrong})
            assert answer.status == 400
    assert (await living.ask(ping=pb.Ping())).HasField("pong")


async def test_a_handshake_that_fails_in_the_inbox_leaves_no_socket(
    host: RunningHost, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away for a moment: the caller hears so, and nobody is evicted."""

    async def away(*_: object) -> bool:
        raise D1Error("away")

    living = await bob.socket()
    with monkeypatch.context() as patch:
        patch.setattr(type(host.env.access), "is_revoked", away)
        for _ in range(40):
            assert (await refused(host, f"?token={bob.token}")).status >= 500
    others = [await bob.socket() for _ in range(31)]
    assert (await living.ask(ping=pb.Ping())).HasField("pong")
    assert (await others[0].ask(ping=pb.Ping())).HasField("pong")


def send_of(size: int, protocol: str) -> str | bytes:
    """Return the frame of a send whose text has *size* bytes."""
    if protocol == JSON:
        frame = {"seq": 7, "send": {"to": "bob", "ciphertext": text64(b"x" * size)}}
        return json.dumps(frame)
    send = pb.Send(to="bob", ciphertext=b"x" * size)
    made: bytes = pb.ClientFrame(seq=7, send=send).SerializeToString()
    return made


async def open_socket(one: User, protocol: str) -> Any:
    """Open a socket that speaks *protocol*."""
    url = f"{one.host.url}/ws?token={one.token}"
    return await one.host.session.ws_connect(url, protocols=[protocol])


async def say(ws: Any, frame: str | bytes) -> None:
    """Send *frame* as what it is."""
    await (ws.send_str(frame) if isinstance(frame, str) else ws.send_bytes(frame))


def error_of(data: str | bytes) -> tuple[int, str]:
    """Return seq and code of an error frame."""
    if isinstance(data, str):
        frame = json.loads(data)
        return frame["seq"], frame["error"]["code"]
    read = pb.ServerFrame.FromString(data)
    return read.seq, read.error.code


@pytest.mark.parametrize("protocol", ["edgekeep.relay.v1", JSON])
@pytest.mark.parametrize("size", [LIMIT + 1, 100_000, 150_000, 190_000])
async def test_a_message_that_is_too_large_is_said_so(
    ada: User, bob: User, protocol: str, size: int
) -> None:
    """As long as the frame is within the limit of frames: the socket goes on."""
    ws = await open_socket(ada, protocol)
    await say(ws, send_of(size, protocol))
    assert error_of((await ws.receive(PATIENCE)).data) == (7, "too_large")
    await say(ws, send_of(LIMIT, protocol))
    assert b"sent" in (await ws.receive(PATIENCE)).data.encode() if protocol == JSON else True
    assert await bob.waiting() == 1


def padded(size: int, protocol: str) -> str | bytes:
    """Return a frame of exactly *size* bytes whose text is too large."""
    overhead = len(send_of(200_000, protocol)) - (266_668 if protocol == JSON else 200_000)
    frame = send_of((size - overhead) // 4 * 3 if protocol == JSON else size - overhead, protocol)
    return frame + " " * (size - len(frame)) if isinstance(frame, str) else frame


@pytest.mark.parametrize("protocol", ["edgekeep.relay.v1", JSON])
async def test_the_limit_of_frames_is_exact_and_alike(ada: User, bob: User, protocol: str) -> None:
    """256 KiB is read, one byte more is not: 1009."""
    ws = await open_socket(ada, protocol)
    frame = padded(FRAME_LIMIT, protocol)
    assert len(frame) == FRAME_LIMIT
    await say(ws, frame)
    assert error_of((await ws.receive(PATIENCE)).data) == (7, "too_large")
    await say(ws, padded(FRAME_LIMIT + 1, protocol))
    assert await Peer(ws).closed() == 1009


@pytest.mark.parametrize("size", [FRAME_LIMIT + 1, 4_000_000, 40_000_000])
async def test_who_is_in_the_middle_of_too_much_hears_why(
    host: RunningHost, ada: User, size: int
) -> None:
    """It sends all of it before it reads: the close frame is there, no reset."""
    peer = await connect(host.port)
    await peer.send(head("GET", f"/ws?token={ada.token}", HANDSHAKE))
    assert (await peer.answer(no_body=True)).status == 101
    await peer.send(b"\x82\xff" + size.to_bytes(8, "big") + b"\0\0\0\0")
    chunk = bytes(100_000)
    for _ in range(size // len(chunk) + 1):
        await peer.send(chunk)

    async with asyncio.timeout(PATIENCE):
        closing = await peer.reader.readexactly(4)

    assert closing == b"\x88\x02" + (1009).to_bytes(2, "big")
    async with asyncio.timeout(PATIENCE):
        assert await peer.reader.read() == b""
    await peer.cut()


async def test_what_is_not_websocket_ends_with_its_reason_too(host: RunningHost, ada: User) -> None:
    """A frame of a kind that there is not: 1002; a text that is not UTF-8: 1007."""
    for raw, code in ((b"\x83\x81\0\0\0\0x", 1002), (b"\x81\x81\0\0\0\0\xff", 1007)):
        peer = await connect(host.port)
        await peer.send(head("GET", f"/ws?token={ada.token}", HANDSHAKE))
        assert (await peer.answer(no_body=True)).status == 101
        await peer.send(raw + bytes(200_000))
        async with asyncio.timeout(PATIENCE):
            assert await peer.reader.readexactly(4) == b"\x88\x02" + code.to_bytes(2, "big")
        await peer.cut()


@pytest.mark.parametrize(
    "spelled",
    [
        base64.b64encode,
        base64.urlsafe_b64encode,
        lambda data: base64.b64encode(data).rstrip(b"="),
        lambda data: base64.urlsafe_b64encode(data).rstrip(b"="),
    ],
)
async def test_bytes_in_json_may_be_spelled_as_at_the_doors_of_keys(
    ada: User, bob: User, spelled: Any
) -> None:
    """Either alphabet, with padding or without, in every member; answers are spelled one way."""
    text = b"\xfb\xff\xfe~?"
    peer = await ada.json_socket()
    sent = await peer.ask({"send": {"to": "bob", "ciphertext": spelled(text).decode()}})
    reader = await bob.json_socket("&ack=1")
    message = (await reader.ask({"fetch": {}}))["message"]
    assert message["ciphertext"] == base64.b64encode(text).decode()
    assert "fetched" in await reader.hear()
    id_ = spelled(base64.b64decode(sent["sent"]["id"])).decode()
    assert (await reader.ask({"list": {"after": id_}}))["listing"]["messages"] == []
    assert (await reader.ask({"ack": {"ids": [id_]}})) == {"acked": {"removed": 1}}


async def test_a_burst_of_all_sizes_arrives_whole(ada: User, bob: User) -> None:
    """Frames that leave in one write are each a frame: of every kind of length, in order."""
    sizes = [1, 60, 100, 125, 126, 127, 5000, 65_000, 65_536] * 20
    reader = await bob.socket()
    await reader.subscribe()
    sender = await ada.socket()
    for size in sizes:
        await sender.say(send=pb.Send(to="bob", ciphertext=b"x" * size))
    assert [len(one) for one in await reader.texts(len(sizes))] == sizes


async def test_a_flood_of_pings_is_read_no_faster_than_is_good(
    host: RunningHost, ada: User
) -> None:
    """Of 5000 protocol pings some hundred are answered; messages of others pass meanwhile."""
    peer = await connect(host.port)
    await peer.send(head("GET", f"/ws?token={ada.token}", HANDSHAKE))
    assert (await peer.answer(no_body=True)).status == 101
    await peer.send(b"\x89\x80\0\0\0\0" * 5000)
    other = await ada.socket()
    assert (await other.ask(ping=pb.Ping())).HasField("pong")
    await asyncio.sleep(0.5)
    answered = len(await peer.reader.read(100_000)) // 2
    assert 200 <= answered < 1000
    await peer.cut()
