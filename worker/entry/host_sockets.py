"""
Connects a network WebSocket to the client end of an in-memory pair.

Compression stays off: ciphertext does not shrink, and its state would be the largest part of an
idle connection. What an object says in one turn leaves in one write: aiohttp's `send_bytes` costs
more for each frame than a small message does otherwise, so frames are put together here (RFC 6455
§5.2; those of a server are not masked) and given to the transport.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from struct import Struct
from typing import Final, Protocol, cast

from aiohttp import ClientError, WSCloseCode, WSMsgType, web

from durable.local_socket import LocalSocket
from durable.socket_frames import Closed, Message
from worker.limiter.counting import step_bucket
from worker.limits import RateLimit
from worker.web import Response

# Silent for so long: a ping; no answer for half as long: the peer is gone.
_HEARTBEAT_SECONDS = 30
# Control frames that one socket may send: they never reach an object, and its limits.
_PINGS: Final = RateLimit("socket_pings", 20, 200, "account")
# RFC 6455 §7.4.1: these stand for "no code" and "no close frame" and never travel in a frame.
_NO_CODE = 1005
_ABNORMAL = 1006
# First bytes of a whole message; heads of those whose length takes more than seven bits.
_TEXT: Final = 0x81
_BINARY: Final = 0x82
_LONG: Final = Struct("!BBH").pack
_LONGER: Final = Struct("!BBQ").pack
# A message that cannot be read. The peer may be in the middle of it: its bytes are thrown away
# until nothing came for so long, or so many times that. Else it would see a reset, and no reason.
_UNREADABLE: Final = (
    WSCloseCode.PROTOCOL_ERROR,
    WSCloseCode.INVALID_TEXT,
    WSCloseCode.MESSAGE_TOO_BIG,
)
_QUIET_SECONDS = 0.5
_LINGER_TURNS = 20


async def connect(
    raw: web.BaseRequest, response: Response, safe: Mapping[str, str]
) -> web.StreamResponse:
    """Answer the upgrade *raw*, and pass messages both ways until one side closes."""
    end: LocalSocket = response.web_socket
    socket = _Socket(raw, response)
    socket.headers.update({**safe, **response.headers})
    try:
        try:
            await socket.prepare(raw)
        except web.HTTPException as refused:
            refused.headers.update(safe)
            raise
        except ConnectionError:
            # The peer left during the handshake: there is nobody to answer.
            return web.StreamResponse()
        # Sent, and of no more use in the hours that may follow.
        socket.headers.clear()
        response.headers.clear()
        end.network_buffer = lambda: _waiting_in(raw)
        await _pass_messages(raw, end, socket)
    finally:
        # Whatever happened: an object must not go on with a socket that nobody is at.
        end.drop()
        end.network_buffer = None
    return socket


class Hearing(Protocol):
    """A connection that counts what it hears (`worker.entry.host_server`)."""

    heard: int


class _Socket(web.WebSocketResponse):
    """The network's side. Its peer hears why it ends, also while it is still sending."""

    def __init__(self, raw: web.BaseRequest, response: Response) -> None:
        protocol = response.headers.pop("Sec-WebSocket-Protocol", None)
        super().__init__(
            heartbeat=_HEARTBEAT_SECONDS,
            # aiohttp refuses what is as long as its limit.
            max_msg_size=response.max_message_bytes + 1,
            compress=False,
            # The object answers a close, with the code that the peer gave; aiohttp would with 1000.
            autoclose=False,
            # Pings are answered below, no faster than is good.
            autoping=False,
            protocols=() if protocol is None else (protocol,),
        )
        self._raw = raw
        self._end: LocalSocket = response.web_socket
        self.is_over = False
        """A close frame was sent: nothing may follow it."""

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        """End; aiohttp calls this by itself, with `_UNREADABLE` codes for what it cannot read."""
        if code not in _UNREADABLE or self.is_over:
            self.is_over = True
            return await super().close(code=code, message=message, drain=drain)
        self.is_over = True
        self._end.hang_up(code)
        await self.send_frame(code.to_bytes(2, "big") + message, WSMsgType.CLOSE)
        await self._linger()
        if self._raw.transport is not None:
            self._raw.transport.close()
        return True

    async def _linger(self) -> None:
        """Let the peer finish what it is sending; aiohttp throws it away."""
        heard = -1
        for _ in range(_LINGER_TURNS):
            transport, connection = self._raw.transport, cast(Hearing, self._raw.protocol)
            if transport is None or transport.is_closing() or connection.heard == heard:
                return
            heard = connection.heard
            await asyncio.sleep(_QUIET_SECONDS)


async def _pass_messages(raw: web.BaseRequest, end: LocalSocket, socket: _Socket) -> None:
    outgoing = asyncio.create_task(_pump_out(raw, end, socket))
    try:
        await _pump_in(end, socket)
        await outgoing
    finally:
        outgoing.cancel()


def _waiting_in(raw: web.BaseRequest) -> int:
    """Bytes that the transport holds."""
    transport = raw.transport
    return 0 if transport is None else transport.get_write_buffer_size()


async def _pump_in(end: LocalSocket, socket: _Socket) -> None:
    with contextlib.suppress(ClientError, ConnectionError):
        await _read(end, socket)


async def _read(end: LocalSocket, socket: _Socket) -> None:
    pings_full_at, now = 0.0, asyncio.get_running_loop().time
    while True:
        message = await socket.receive()
        if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
            if end.feed(message.data):
                # A flooding peer is read no faster than the object works.
                await end.writable()
        elif message.type is WSMsgType.PING or message.type is WSMsgType.PONG:
            wait, pings_full_at = step_bucket(_PINGS, pings_full_at, now())
            # Nothing more is read from a peer that has no other wish.
            await asyncio.sleep(wait)
            if message.type is WSMsgType.PING and not socket.is_over:
                await socket.pong(message.data)
        elif message.type is WSMsgType.CLOSE:
            end.hang_up(message.data, message.extra or "")
            return
        elif message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED):
            if socket.close_code in (None, _ABNORMAL):
                end.drop()
            return
        else:
            end.hang_up(socket.close_code or _ABNORMAL)
            return


async def _pump_out(raw: web.BaseRequest, end: LocalSocket, socket: _Socket) -> None:
    try:
        while True:
            said = await end.receive_all()
            transport = raw.transport
            if transport is None or transport.is_closing() or socket.is_over:
                return
            if isinstance(said, Closed):
                await _close(raw, socket, said)
                return
            transport.write(b"".join(map(_framed, said)))
            if raw.protocol.writing_paused:
                await raw.writer.drain()
    except (ClientError, ConnectionError, RuntimeError):
        # The peer vanished between two frames; the reading side notices and drops the socket.
        return


def _framed(message: Message) -> bytes:
    """Return the frame of a whole message."""
    kind, payload = (_BINARY, message) if isinstance(message, bytes) else (_TEXT, message.encode())
    size = len(payload)
    if size < 126:
        return bytes((kind, size)) + payload
    if size < 65536:
        return _LONG(kind, 126, size) + payload
    return _LONGER(kind, 127, size) + payload


async def _close(raw: web.BaseRequest, socket: _Socket, closed: Closed) -> None:
    if closed.code == _ABNORMAL:
        if raw.transport is not None:
            raw.transport.abort()
        return
    code = 1000 if closed.code == _NO_CODE else closed.code
    socket.is_over = True
    await socket.close(code=code, message=closed.reason.encode())
