"""People for the tests of the relay: accounts made directly, sockets that speak frames."""

import asyncio
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType

from durable.local_socket import LocalSocket
from durable.looking import LiveObject, StoredObject
from tests.support.running_host import Answer, RunningHost
from tests.support.waiting import PATIENCE
from worker.codec import uuid7
from worker.identity.sessions import SignIn, begin
from worker.identity.tokens import issue
from worker.relay import relay_pb2 as pb

JSON = "edgekeep.relay.v1.json"


@dataclass(slots=True)
class User:
    """Somebody with an account and a session of the relay."""

    host: RunningHost
    id: str
    name: str
    session_id: str
    token: str

    async def socket(self, query: str = "", token: str = "") -> "Peer":
        """Open a socket that speaks Protobuf."""
        url = f"{self.host.url}/ws?token={token or self.token}{query}"
        return Peer(await self.host.session.ws_connect(url, max_msg_size=0))

    async def json_socket(self, query: str = "") -> "JsonPeer":
        """Open a socket that speaks JSON."""
        url = f"{self.host.url}/ws?token={self.token}{query}"
        return JsonPeer(await self.host.session.ws_connect(url, protocols=[JSON]))

    def short_token(self, seconds: float) -> str:
        """Return a token of this session that ends soon."""
        keys, now = self.host.env.settings.signing_keys, self.host.env.tools.now()
        return issue(
            keys,
            self.id,
            (),
            now,
            seconds / 60,
            audience="relay",
            sid=self.session_id,
            role="owner",
        )

    @property
    def live(self) -> LiveObject | None:
        """What is told of the inbox while it is in memory."""
        return next(
            (o for o in self.host.opened.actors.live("Inbox") if o.id.name == self.id), None
        )

    @property
    def stored(self) -> StoredObject | None:
        """What is told of the inbox's file; None when it has none."""
        kept = self.host.opened.actors.stored("Inbox")
        return next((o for o in kept if o.id.name == self.id), None)

    async def waiting(self) -> int:
        """How many messages wait, as a fresh socket is told."""
        peer = await self.socket()
        total = (await peer.ask(list=pb.List())).listing.total
        await peer.close()
        return int(total)


class Peer:
    """A client over Protobuf."""

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self.ws = ws
        self._seq = 0

    async def say(self, **action: Any) -> int:
        """Send one frame and return its seq."""
        self._seq += 1
        await self.ws.send_bytes(pb.ClientFrame(seq=self._seq, **action).SerializeToString())
        return self._seq

    async def hear(self) -> Any:
        """Return the next frame; fails when the socket closes instead."""
        message = await asyncio.wait_for(self.ws.receive(), PATIENCE)
        assert message.type is WSMsgType.BINARY, (message, self.ws.close_code)
        return pb.ServerFrame.FromString(message.data)

    async def ask(self, **action: Any) -> Any:
        """Send one frame and return the next, which must answer it."""
        seq = await self.say(**action)
        frame = await self.hear()
        assert frame.seq == seq, frame
        return frame

    async def send(self, to: str, text: bytes, client_id: str = "") -> Any:
        """Send a message and return the answer."""
        return await self.ask(send=pb.Send(to=to, ciphertext=text, client_id=client_id))

    async def subscribe(self) -> Any:
        """Subscribe and return the answer."""
        return (await self.ask(subscribe=pb.Subscribe())).subscribed

    async def subscribe_blindly(self) -> None:
        """Subscribe without reading the answer."""
        await self.say(subscribe=pb.Subscribe())

    async def texts(self, count: int) -> list[bytes]:
        """Return the ciphertexts of the next *count* frames, all messages."""
        return [(await self.hear()).message.ciphertext for _ in range(count)]

    async def fetch(self, limit: int = 0) -> tuple[list[Any], Any]:
        """Fetch and return the messages, and the frame that ends them."""
        seq = await self.say(fetch=pb.Fetch(limit=limit))
        found: list[Any] = []
        while True:
            frame = await self.hear()
            if frame.seq == seq:
                return found, frame.fetched
            found.append(frame.message)

    async def closed(self) -> int:
        """Wait for the end and return its code."""
        while True:
            message = await asyncio.wait_for(self.ws.receive(), PATIENCE)
            if message.type is WSMsgType.CLOSE:
                return int(message.data)
            if message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED):
                return int(self.ws.close_code or 1006)

    async def is_silent(self, seconds: float = 0.2) -> bool:
        """Whether nothing comes for a while. (The socket is of no use afterwards.)"""
        try:
            await self.ws.receive(timeout=seconds)
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        """Close and wait for the answer."""
        await self.ws.close()


class JsonPeer:
    """A client over JSON, as a person with wscat."""

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self.ws = ws

    async def say(self, frame: Any) -> None:
        """Send one frame."""
        await self.ws.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def hear(self) -> Any:
        """Return the next frame."""
        return json.loads(await asyncio.wait_for(self.ws.receive_str(), PATIENCE))

    async def ask(self, frame: Any) -> Any:
        """Send one frame and return the next."""
        await self.say(frame)
        return await self.hear()


def server_ends(host: RunningHost) -> list[LocalSocket]:
    """Return a list that gets the host's end of each socket that is opened from now on."""
    ends: list[LocalSocket] = []
    make = host.env.tools.socket_pair

    def noted() -> tuple[LocalSocket, LocalSocket]:
        client, server = make()
        ends.append(server)
        return client, server

    host.env.tools.socket_pair = noted  # type: ignore[method-assign]
    return ends


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}


async def refused(host: RunningHost, query: str) -> Answer:
    """Ask for a socket that is refused, and return the refusal."""
    return await host.get(f"/ws{query}", headers=HANDSHAKE)


def text64(data: bytes) -> str:
    """Return bytes as JSON frames have them."""
    return b64encode(data).decode()


def bytes64(text: str) -> bytes:
    """Return what such a text says."""
    return b64decode(text)


async def user(host: RunningHost, name: str) -> User:
    """Make an account with a session of the relay, past the doors (hashing takes its time)."""
    env = host.env
    now = env.now_ms()
    account_id = uuid7(now, env.tools.random_bytes(10))
    account = (
        "INSERT INTO accounts (id, role, created_at, last_active_at) VALUES (?1, 'owner', ?2, ?2)"
    )
    way_in = (
        "INSERT INTO identities (account_id, kind, issuer, subject, secret, created_at) "
        "VALUES (?, 'password', '', ?, 'x', ?)"
    )
    await env.db.batch(
        [
            env.db.prepare(account).bind(account_id, now),
            env.db.prepare(way_in).bind(account_id, name, now),
        ]
    )
    grant = await begin(env, SignIn(account_id, "password"), "relay")
    return User(host, account_id, name, grant.session_id, grant.token)


async def ring(host: RunningHost) -> None:
    """Let what is due ring, and wait until it has."""
    await host.opened.actors.tick()
    while host.opened.actors.alarm_clock.ringing:
        await asyncio.sleep(0.001)


async def fill(sender: User, to: str, count: int, size: int = 10) -> None:
    """Send *count* numbered messages of at least *size* bytes."""
    peer = await sender.socket()
    for number in range(count):
        text = (b"%d " % number).ljust(size, b".")
        await peer.say(send=pb.Send(to=to, ciphertext=text))
    for _ in range(count):
        assert (await peer.hear()).WhichOneof("event") == "sent"
    await peer.close()
