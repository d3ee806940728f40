"""Bounded gzip: unfolds a stream piece by piece and stops at a bomb (RFC 1952, several members)."""

import zlib
from collections.abc import Iterator

from worker.errors import BrokenCompression, PayloadTooLarge
from worker.limits import MIB

# Past the first megabyte a body may not unfold to more than this many times its size. Real profile
# files reach about 15 : 1; deflate's ceiling, and a bomb's ratio, is about 1030 : 1.
INFLATE_RATIO = 200
INFLATE_FREE_BYTES = 1 * MIB

_GZIP = 31  # window bits: gzip framing with the largest window
_PIECE = 256 * 1024


class Gunzip:
    """
    An incremental gzip reader that holds at most one piece of 256 KiB.

    Raises `PayloadTooLarge` when the output passes *limit* bytes or INFLATE_RATIO times the input,
    `BrokenCompression` when the data is damaged or cut off.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._given = 0
        self._member: zlib._Decompress | None = None
        self._any_member = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what *data* unfolds to, in pieces."""
        self._taken += len(data)
        while data:
            if self._member is None:
                # Zero padding may follow a member (tar tools write it).
                data = data.lstrip(b"\0") if self._any_member else data
                if not data:
                    return
                self._member = zlib.decompressobj(_GZIP)
                self._any_member = True
            try:
                piece = self._member.decompress(data, _PIECE)
            except zlib.error:
                raise BrokenCompression("The body is not valid gzip data.") from None
            data = self._member.unconsumed_tail
            if self._member.eof:
                data = self._member.unused_data
                self._member = None
            self._given += len(piece)
            self._check()
            if piece:
                yield piece

    def end(self) -> None:
        """Say that no more data comes; raises `BrokenCompression` in the middle of a member."""
        if self._member is not None or not self._any_member:
            raise BrokenCompression("The gzip data ends too early.")

    def _check(self) -> None:
        if self._given > self._limit:
            raise PayloadTooLarge(f"The body unfolds to more than {self._limit} bytes.")
        if self._given > max(INFLATE_FREE_BYTES, self._taken * INFLATE_RATIO):
            raise PayloadTooLarge(
                f"The body unfolds to more than {INFLATE_RATIO} times its size; "
                "that is not what real data does."
            )
