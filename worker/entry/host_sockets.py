"""
Connects a network WebSocket to the client end of an in-memory pair.

Compression stays off: ciphertext does not shrink, and its state would be the largest part of an
idle connection.
"""

import asyncio
from collections.abc import Mapping

from aiohttp import ClientError, WSMsgType, web

from durable.local_socket import LocalSocket
from durable.socket_frames import Closed
from worker.web import Response

# Silent for so long: a ping; no answer for half as long: the peer is gone.
_HEARTBEAT_SECONDS = 30
# RFC 6455 §7.4.1: these stand for "no code" and "no close frame" and never travel in a frame.
_NO_CODE = 1005
_ABNORMAL = 1006


async def connect(
    raw: web.BaseRequest, response: Response, safe: Mapping[str, str]
) -> web.StreamResponse:
    """Answer the upgrade *raw*, and pass messages both ways until one side closes."""
    end: LocalSocket = response.web_socket
    protocol = response.headers.pop("Sec-WebSocket-Protocol", None)
    socket = web.WebSocketResponse(
        heartbeat=_HEARTBEAT_SECONDS,
        max_msg_size=response.max_message_bytes,
        compress=False,
        # The object answers a close, with the code that the peer gave; aiohttp would with 1000.
        autoclose=False,
        protocols=() if protocol is None else (protocol,),
    )
    socket.headers.update({**safe, **response.headers})
    try:
        await socket.prepare(raw)
    except web.HTTPException as refused:
        end.drop()
        refused.headers.update(safe)
        raise
    # Sent, and of no more use in the hours that may follow.
    socket.headers.clear()
    response.headers.clear()
    end.network_buffer = lambda: _waiting_in(raw)
    outgoing = asyncio.create_task(_pump_out(raw, end, socket))
    try:
        await _pump_in(end, socket)
        await outgoing
    finally:
        outgoing.cancel()
        end.drop()
        end.network_buffer = None
    return socket


def _waiting_in(raw: web.BaseRequest) -> int:
    """Bytes that the transport holds."""
    transport = raw.transport
    return 0 if transport is None else transport.get_write_buffer_size()


async def _pump_in(end: LocalSocket, socket: web.WebSocketResponse) -> None:
    while True:
        message = await socket.receive()
        if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
            if end.feed(message.data):
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


async def _pump_out(raw: web.BaseRequest, end: LocalSocket, socket: web.WebSocketResponse) -> None:
    try:
        while True:
            message = await end.receive()
            if isinstance(message, bytes):
                await socket.send_bytes(message)
            elif isinstance(message, str):
                await socket.send_str(message)
            else:
                await _close(raw, socket, message)
                return
    except (ClientError, ConnectionError, RuntimeError):
        # The peer vanished between two frames; the reading side notices and drops the socket.
        return


async def _close(raw: web.BaseRequest, socket: web.WebSocketResponse, closed: Closed) -> None:
    if closed.code == _ABNORMAL:
        if raw.transport is not None:
            raw.transport.abort()
        return
    code = 1000 if closed.code == _NO_CODE else closed.code
    await socket.close(code=code, message=closed.reason.encode())
