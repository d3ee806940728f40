"""WebSocket clients that cost next to nothing: raw sockets, frames made beforehand, bytes counted.

A client in Python that parses each frame would be slower than the servers it is to measure. Here
all frames of one kind have one length, so counting is a division; what arrived is parsed after the
clock has stopped, to see that all of it came, once and in order.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

GULP = 1 << 18
TIMEOUT = 60.0


class ClientError(Exception):
    """The server did not do what a relay does."""


class RawSocket:
    """A WebSocket whose frames are made and taken apart by hand."""

    def __init__(self, port: int, path: str, *, timeout: float = TIMEOUT) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self._socket.recv(GULP)
            if not piece:
                raise ClientError(f"{path.partition('?')[0]} hung up in the handshake")
            head += piece
        lines, _, self._rest = head.partition(b"\r\n\r\n")
        if b" 101 " not in lines.split(b"\r\n")[0]:
            raise ClientError(f"{path.partition('?')[0]}: {lines.splitlines()[0]!r}")

    def send(self, data: bytes) -> None:
        """Send bytes that are frames already."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """Return what has arrived, at least one byte."""
        if self._rest:
            found, self._rest = self._rest, b""
            return found
        data = self._socket.recv(GULP)
        if not data:
            raise ClientError("the server hung up")
        return data

    def receive_frame(self) -> bytes:
        """Return the next frame's payload; for the slow parts."""
        data = b""
        while True:
            data += self.receive()
            for payload, end in frames_in(data):
                self._rest = data[end:]
                return payload

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def frame(payload: bytes) -> bytes:
    """Return a binary frame as clients send it; a mask of zeros is a mask."""
    size = len(payload)
    if size < 126:
        head = bytes((0x82, 0x80 | size))
    elif size < 65_536:
        head = struct.pack("!BBH", 0x82, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x82, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


def frames_in(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield payload and end of each whole frame from a server."""
    at = 0
    while at + 2 <= len(data):
        size, start = data[at + 1] & 127, at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
        if start + size > len(data):
            return
        yield data[start : start + size], start + size
        at = start + size


class Collector(threading.Thread):
    """Reads a socket in a thread until *count* frames of the first one's length have come."""

    def __init__(self, source: RawSocket, count: int, length: Callable[[bytes], int]) -> None:
        super().__init__(daemon=True)
        self.pieces: list[bytes] = []
        self.finished = 0.0
        self.problem: Exception | None = None
        self._source = source
        self._count = count
        self._length = length

    def run(self) -> None:
        """Count bytes; remember the moment of the last."""
        wanted, got = 0, 0
        try:
            while not wanted or got < wanted:
                piece = self._source.receive()
                self.pieces.append(piece)
                got += len(piece)
                if not wanted and got > 10:
                    wanted = self._count * self._length(b"".join(self.pieces))
            self.finished = time.perf_counter()
        except (OSError, ClientError) as error:
            self.problem = error

    def payloads(self) -> list[bytes]:
        """Return what came, as frames."""
        return [payload for payload, _ in frames_in(b"".join(self.pieces))]


def first_length(data: bytes) -> int:
    """Return the length of the first frame in *data* with its head."""
    size = data[1] & 127
    if size == 126:
        return int.from_bytes(data[2:4]) + 4
    return size + 2
