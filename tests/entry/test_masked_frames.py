"""Frames that a client does not mask end the connection (RFC 6455 §5.1), wherever they come."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.raw import RawConnection, connect, head
from tests.support.relay import HANDSHAKE, user
from tests.support.running_host import RunningHost, running_host
from tests.support.waiting import PATIENCE
from worker.entry.masked_frames import MaskedFrames

_PING, _TEXT = 0x89, 0x81


class Heard:
    """A reader that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes, /) -> tuple[bool, bytes]:
        """Keep it."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing comes any more."""


def frame(payload: bytes, kind: int = _TEXT, *, masked: bool = True) -> bytes:
    """Return one frame."""
    size, bit = len(payload), 0x80 * masked
    if size < 126:
        length = bytes((bit | size,))
    elif size < 65536:
        length = bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((bit | 127,)) + size.to_bytes(8, "big")
    # A key of zeros: masked and yet to be read.
    return bytes((kind,)) + length + bytes(4 * masked) + payload


@given(
    sizes=st.lists(st.sampled_from([0, 1, 125, 126, 127, 300, 65535, 65536, 70000]), max_size=8),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    broken=st.booleans(),
)
def test_all_good_frames_pass_and_no_other(sizes: list[int], cuts: list[int], broken: bool) -> None:
    """However the bytes are cut, what a reader gets is what came, up to the first bad head."""
    good = b"".join(frame(os.urandom(size)) for size in sizes)
    sent = good + (frame(b"bare", masked=False) + frame(b"late") if broken else b"")
    heard = Heard()
    frames = MaskedFrames(heard)
    at = turn = 0
    while at < len(sent):
        # Small pieces around each head, large ones within.
        size = cuts[turn % len(cuts)] if turn % 3 else 9_000
        frames.feed_data(sent[at : at + size])
        at, turn = at + size, turn + 1
    assert heard.data == good + (b"\xf0\x80" if broken else b"")


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncIterator[RawConnection]:
    """A relay socket, without a client that would mask."""
    async with running_host(tmp_path / "state") as host:
        opened = await _opened(host)
        yield opened
        await opened.cut()


async def _opened(host: RunningHost) -> RawConnection:
    ada = await user(host, "ada")
    connection = await connect(host.port)
    await connection.send(head("GET", f"/ws?token={ada.token}", HANDSHAKE))
    assert (await connection.answer(no_body=True)).status == 101
    return connection


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_an_unmasked_frame_closes_with_a_protocol_error(
    socket: RawConnection, before: int
) -> None:
    """As the first, or after good ones; the reason is said."""
    for _ in range(before):
        await socket.send(frame(b"", _PING))
    await socket.send(frame(b"{}", masked=False))
    async with asyncio.timeout(PATIENCE):
        said = await socket.reader.read()
    assert (1002).to_bytes(2, "big") in said


async def test_a_masked_frame_is_answered(socket: RawConnection) -> None:
    """A ping by hand."""
    await socket.send(frame(b"hello", _PING))
    async with asyncio.timeout(PATIENCE):
        assert b"hello" in await socket.reader.readuntil(b"hello")
