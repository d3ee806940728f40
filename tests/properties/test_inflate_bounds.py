"""Gunzip: gives back what was folded, refuses what is broken, stops at bombs."""

import contextlib
import gzip
import random
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import BrokenCompression, PayloadTooLarge
from worker.wire.inflate import INFLATE_FREE_BYTES, Gunzip

MIB = 1024 * 1024


def unfold(folded: bytes, step: int, limit: int = 10 * MIB) -> bytes:
    """Feed *folded* in pieces of *step* bytes and return everything that comes out."""
    reader = Gunzip(limit)
    out = b""
    for at in range(0, len(folded), step):
        for piece in reader.feed(folded[at : at + step]):
            assert len(piece) <= 256 * 1024
            out += piece
    reader.end()
    return out


@given(
    parts=st.lists(st.binary(max_size=600), min_size=1, max_size=5),
    step=st.integers(1, 400),
    level=st.integers(0, 9),
    padding=st.integers(0, 40),
)
def test_what_was_folded_comes_back_however_it_is_cut(
    parts: list[bytes], step: int, level: int, padding: int
) -> None:
    """Several members, any compression level, any cut, zero padding at the end."""
    folded = b"".join(gzip.compress(part, level, mtime=0) for part in parts)
    assert unfold(folded + b"\0" * padding, step) == b"".join(parts)


@given(body=st.binary(max_size=300), cut=st.integers(1, 10_000), step=st.integers(1, 64))
def test_data_that_ends_too_early_is_refused_at_every_length(
    body: bytes, cut: int, step: int
) -> None:
    """No prefix of a gzip file passes for a whole one."""
    folded = gzip.compress(body, mtime=0)
    with pytest.raises(BrokenCompression):
        unfold(folded[: cut % len(folded)], step)


@given(body=st.binary(min_size=1, max_size=300), at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_the_same_bytes_or_a_refusal(body: bytes, at: int, bit: int) -> None:
    """Damage is never passed on as data (a bit of the header may mean nothing)."""
    folded = bytearray(gzip.compress(body, mtime=0))
    folded[at % len(folded)] ^= 1 << bit
    with contextlib.suppress(BrokenCompression):
        assert unfold(bytes(folded), 50) == body


@pytest.mark.parametrize("garbage", [b"not gzip", b"\x1f\x8b", b"", b"\0\0\0\0", b"\x1f\x8b\x09"])
def test_what_is_not_gzip_is_broken(garbage: bytes) -> None:
    """Other bytes, no bytes, and a method other than deflate."""
    with pytest.raises(BrokenCompression):
        unfold(garbage, 3)


def test_garbage_behind_a_member_is_broken() -> None:
    """What follows the last member must be a member or zeros."""
    with pytest.raises(BrokenCompression):
        unfold(gzip.compress(b"x") + b"garbage", 100)


def test_a_plain_zlib_or_deflate_stream_is_not_gzip() -> None:
    """The framing is gzip and no other."""
    with pytest.raises(BrokenCompression):
        unfold(zlib.compress(b"x" * 100), 100)


def test_a_bomb_is_stopped_long_before_it_is_unfolded() -> None:
    """A gigabyte of zeros in a megabyte stops near the free allowance, not at the limit."""
    bomb = gzip.compress(b"\0" * 64 * MIB)
    reader = Gunzip(1024 * MIB)
    given_out, stopped = 0, False
    try:
        for piece in reader.feed(bomb):
            given_out += len(piece)
    except PayloadTooLarge:
        stopped = True
    assert stopped
    assert given_out <= max(INFLATE_FREE_BYTES, 200 * len(bomb)) + 256 * 1024


def test_a_bomb_in_many_members_is_stopped_too() -> None:
    """The ratio is judged over the whole body."""
    member = gzip.compress(b"\0" * 2 * MIB)
    with pytest.raises(PayloadTooLarge):
        unfold(member * 8, 500, limit=1024 * MIB)


def test_real_profile_data_passes_the_ratio() -> None:
    """Twenty to one is ordinary; text that repeats itself a lot still goes through."""
    words = random.Random(1)
    lines = "".join(f'{{"n":{words.random()},"t":"{"lorem ipsum " * 40}"}}\n' for _ in range(9000))
    folded = gzip.compress(lines.encode(), 9)
    assert len(lines) > 4 * MIB
    assert unfold(folded, 65_536) == lines.encode()


def test_the_limit_on_the_unfolded_size_holds_to_the_piece() -> None:
    """A body one byte over the limit is refused, one at the limit is not."""
    body = random.Random(2).randbytes(100_000)
    assert unfold(gzip.compress(body), 999, limit=100_000) == body
    with pytest.raises(PayloadTooLarge):
        unfold(gzip.compress(body), 999, limit=99_999)


def test_thousands_of_empty_members_do_not_take_long() -> None:
    """A chunk of 256 KiB full of empty members costs a fraction of a second, not its square."""
    chunk = gzip.compress(b"", mtime=0) * (256 * 1024 // 20)
    reader = Gunzip(MIB)
    started = time.thread_time()
    assert list(reader.feed(chunk)) == []
    assert time.thread_time() - started < 0.25
    reader.end()
