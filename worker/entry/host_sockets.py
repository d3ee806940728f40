"""Connects a network WebSocket to the client end of an in-memory pair."""

import asyncio

from aiohttp import ClientError, WSMsgType, web

from durable.local_socket import Closed, LocalSocket
from worker.web import Response

_MESSAGE_BYTES = 32 * 1024 * 1024
_HEARTBEAT_SECONDS = 30
# RFC 6455 §7.4.1: these stand for "no code" and "no close frame" and never travel in a frame.
_NO_CODE = 1005
_ABNORMAL = 1006


async def connect(raw: web.Request, response: Response) -> web.StreamResponse:
    """Answer the upgrade *raw* and pass messages both ways until one side closes."""
    end: LocalSocket = response.web_socket
    socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_MESSAGE_BYTES)
    socket.headers.update(response.headers)
    try:
        await socket.prepare(raw)
    except web.HTTPException:
        end.drop()
        raise
    outgoing = asyncio.create_task(_pump_out(raw, end, socket))
    try:
        await _pump_in(end, socket)
        await outgoing
    finally:
        outgoing.cancel()
        end.drop()
    return socket


async def _pump_in(end: LocalSocket, socket: web.WebSocketResponse) -> None:
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            end.send(message.data)
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


async def _pump_out(raw: web.Request, end: LocalSocket, socket: web.WebSocketResponse) -> None:
    try:
        while True:
            message = await end.receive()
            if isinstance(message, str):
                await socket.send_str(message)
            elif isinstance(message, bytes):
                await socket.send_bytes(message)
            else:
                await _close(raw, socket, message)
                return
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
