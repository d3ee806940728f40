"""
What a client sends in a WebSocket is masked, or the connection ends (RFC 6455 §5.1).

aiohttp's reader takes both. So each frame's mask bit is looked at before the reader sees it; in the
place of a frame without it stands a head that the reader refuses itself: it then closes with 1002,
as after every broken frame.
"""

from typing import Protocol

_MASKED = 0x80
_KEY_BYTES = 4
# A reserved bit of the first byte; nobody negotiated what it would mean.
_REFUSED = b"\xf0\x80"


class Reader(Protocol):
    """What reads frames."""

    def feed_data(self, data: bytes, /) -> tuple[bool, bytes]:
        """Take what came: (whether nothing more is read, what is left)."""

    def feed_eof(self) -> None:
        """Take the end."""


class MaskedFrames:
    """A `Reader` that hands masked frames on to *reader*."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rest = 0
        """Bytes of the present frame that are still to come."""
        self._head = b""
        """The beginning of a head that is not complete: held back."""
        self._broken = False
        """A frame came that is not masked; nothing behind it is read."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """See `Reader.feed_data`."""
        if self._broken:
            return self._reader.feed_data(b"")
        if self._head:
            data, self._head = self._head + data, b""
        good, self._broken = self._walk(data)
        if self._broken:
            return self._reader.feed_data(data[:good] + _REFUSED)
        return self._reader.feed_data(data[:good] if good < len(data) else data)

    def feed_eof(self) -> None:
        """See `Reader.feed_eof`."""
        self._reader.feed_eof()

    def _walk(self, data: bytes) -> tuple[int, bool]:
        """Return how much of *data* may be read now, and whether a bare frame stands there."""
        at, end = self._rest, len(data)
        while at < end:
            size = data[at + 1] & ~_MASKED if end - at > 1 else 0
            further = {126: 2, 127: 8}.get(size, 0)
            if end - at > 1 and not data[at + 1] & _MASKED:
                return at, True
            if end - at < 2 + further:
                self._rest, self._head = 0, data[at:]
                return at, False
            if further:
                size = int.from_bytes(data[at + 2 : at + 2 + further])
            at += 2 + further + _KEY_BYTES + size
        self._rest = at - end
        return end, False
