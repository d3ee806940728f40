"""
Connects a network WebSocket to the client end of an in-memory pair.

A busy socket is read and written in gulps: what has arrived goes to the object at once, and what
the object sent in one turn leaves in one write. Compression stays off: ciphertext does not shrink,
and its state would be the largest part of an idle connection.
"""

import asyncio
import struct
from typing import Any, Final

from aiohttp import ClientError, WSMsgType, web

from durable.local_socket import Closed, LocalSocket
from worker.web import Response

# Silent for so long: a ping; no answer for half as long: the peer is gone.
_HEARTBEAT_SECONDS = 30
# RFC 6455 §7.4.1: these stand for "no code" and "no close frame" and never travel in a frame.
_NO_CODE = 1005
_ABNORMAL = 1006
# RFC 6455 §5.2: the last frame of its message, as text or as bytes.
_TEXT: Final = 0x81
_BINARY: Final = 0x82
_DATA = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})
# Messages taken from the reader before others get a turn.
_GULP: Final = 256


class _Socket(web.WebSocketResponse):
    """aiohttp's WebSocket, which does the handshake, reads, pings and closes; frames go by us."""

    async def gulp(self) -> list[Any]:
        """Return what has arrived: data, at least one message, or one of another kind alone."""
        got: list[Any] = [await self.receive()]
        reader = self._reader
        if got[0].type in _DATA and reader is not None:
            waiting = reader._buffer  # noqa: SLF001  # receive() costs more than these messages do
            while waiting and len(got) < _GULP and waiting[0][0].type in _DATA:
                got.append(await reader.read())
        return got

    def write_frames(self, messages: list[str | bytes]) -> None:
        """Write each of *messages* as a frame. ClientError when the connection closes."""
        writer = self._writer
        if writer is None or writer.transport.is_closing() or self._closing:
            raise ClientError("the connection closes")
        parts: list[bytes] = []
        for message in messages:
            if isinstance(message, bytes):
                parts += (_head(_BINARY, len(message)), message)
            else:
                data = message.encode()
                parts += (_head(_TEXT, len(data)), data)
        writer.transport.write(b"".join(parts))

    async def drained(self) -> None:
        """Wait while the transport holds more than its high-water mark."""
        protocol = self._req.protocol if self._req is not None else None
        if protocol is not None and protocol._paused:  # noqa: SLF001  # aiohttp's own flow control
            await protocol._drain_helper()  # noqa: SLF001

    def network_buffer(self) -> int:
        """Bytes that the transport holds."""
        writer = self._writer
        if writer is None or writer.transport.is_closing():
            return 0
        return int(writer.transport.get_write_buffer_size())


def _head(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 65_536:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


async def connect(raw: web.Request, response: Response) -> web.StreamResponse:
    """Answer the upgrade *raw* and pass messages both ways until one side closes."""
    end: LocalSocket = response.web_socket
    protocol = response.headers.pop("Sec-WebSocket-Protocol", None)
    socket = _Socket(
        heartbeat=_HEARTBEAT_SECONDS,
        max_msg_size=response.max_message_bytes,
        compress=False,
        protocols=() if protocol is None else (protocol,),
    )
    socket.headers.update(response.headers)
    try:
        await socket.prepare(raw)
    except web.HTTPException:
        end.drop()
        raise
    # Sent, and of no more use in the hours that may follow.
    socket.headers.clear()
    response.headers.clear()
    end.network_buffer = socket.network_buffer
    outgoing = asyncio.create_task(_pump_out(raw, end, socket))
    try:
        await _pump_in(end, socket)
        await outgoing
    finally:
        outgoing.cancel()
        end.drop()
        end.network_buffer = None
    return socket


async def _pump_in(end: LocalSocket, socket: _Socket) -> None:
    while True:
        message, *more = await socket.gulp()
        if message.type in _DATA:
            is_behind = end.feed(message.data)
            for one in more:
                is_behind = end.feed(one.data)
            if is_behind:
                # A flooding peer is read no faster than the object works.
                await end.writable()
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


async def _pump_out(raw: web.Request, end: LocalSocket, socket: _Socket) -> None:
    try:
        while True:
            messages = await end.receive_all()
            if isinstance(messages[0], Closed):
                await _close(raw, socket, messages[0])
                return
            socket.write_frames(messages)  # type: ignore[arg-type]  # a close comes alone
            await socket.drained()
    except (ClientError, ConnectionError, RuntimeError):
        # The peer vanished between two frames; the reading side notices and drops the socket.
        return


async def _close(raw: web.Request, socket: web.WebSocketResponse, closed: Closed) -> None:
    if closed.code == _ABNORMAL:
        if raw.transport is not None:
            raw.transport.abort()
        return
    code = 1000 if closed.code == _NO_CODE else closed.code
    await socket.close(code=code, message=closed.reason.encode())
