"""
A response whose bytes are all there, written in one piece.

aiohttp's own Response prepares for streaming, compression, cookies and signals that such an answer
never uses; that costs about as much as everything the Worker does for a small read (measured:
16 of 47 µs). This one speaks plain HTTP/1.1 with a known length, and leaves all else to aiohttp.
"""

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web
from aiohttp.http import HttpVersion11

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_NO_BODY = (204, 304)
SERVER = "edgekeep"


class Tail:
    """
    The end of every head: Server, the safe headers, Date and the empty line.

    Written once a second for each set of safe headers; a host has one.
    """

    __slots__ = ("_bytes", "_safe", "_second")

    def __init__(self, safe: Mapping[str, str]) -> None:
        fields = {"Server": SERVER, **safe}
        self._safe = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._second = 0
        self._bytes = b""

    def now(self) -> bytes:
        """Return it for an answer of this second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            date = formatdate(second, usegmt=True)
            self._bytes = f"{self._safe}Date: {date}\r\n\r\n".encode("latin-1")
        return self._bytes


class WholeResponse(web.StreamResponse):
    """Status, headers and body in one write. Only for requests that `suits` accepts."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, tail: bytes) -> None:
        """*tail* ends the head: see `Tail`. Raises ValueError for a header that cannot be sent."""
        super().__init__(status=status)
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        if status not in _NO_BODY:
            lines.append(f"Content-Length: {len(body)}\r\n")
        head = _STATUS_LINES[status] + "".join(lines)
        if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
            raise ValueError("a header holds a line break")
        self._head = head.encode("latin-1") + tail
        self._whole_body = body

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write everything; raises ConnectionResetError when the reader has gone."""
        self._keep_alive = True
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the reader has gone")
        transport.write(self._head if request.method == "HEAD" else self._head + self._whole_body)

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything is written already."""


def check_fields(headers: Mapping[str, str]) -> None:
    """Raise ValueError for a header that aiohttp would not send, before anything has gone out."""
    text = "".join(headers.values())
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError("a header holds a line break")


def suits(request: web.Request, status: int, body: bytes) -> bool:
    """
    Whether `WholeResponse` may answer: HTTP/1.1 that stays open, and a small body.

    A large one goes through aiohttp, which waits for slow readers.
    """
    return (
        request.keep_alive
        and request.version == HttpVersion11
        and len(body) <= 65_536
        and status in _STATUS_LINES
        and status >= 200
    )
