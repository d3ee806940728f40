"""XEdDSA: what libsignal signs is accepted, and nothing that was bent afterwards."""

import json
from collections.abc import Iterator
from functools import lru_cache

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from tests.support.prekeys import Signer
from tests.support.running_host import ROOT, SECRETS
from worker.entry.native_crypto import NativeCrypto
from worker.relay.keys.xeddsa import is_usable, verify
from worker.settings import Settings

_VECTORS = json.loads((ROOT / "tests/relay_clients/xeddsa_vectors.json").read_text())
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
Vector = tuple[bytes, bytes, bytes]


@lru_cache
def vectors() -> list[Vector]:
    """Return (key, message, signature) as libsignal made them (node/vectors.mjs)."""
    read = [tuple(map(bytes.fromhex, one.values())) for one in _VECTORS]
    return [(key[1:], message, signature) for key, message, signature in read]


@pytest.fixture(scope="module")
def crypto() -> Iterator[NativeCrypto]:
    """The host's crypto port."""
    port = NativeCrypto(Settings.load(SECRETS), bytes)
    yield port
    port.close()


async def test_what_libsignal_signs_holds(crypto: NativeCrypto) -> None:
    """Keys of both signs, messages of all lengths."""
    assert len(vectors()) >= 32
    for key, message, signature in vectors():
        assert await verify(crypto, key, message, signature)
    assert {signature[63] >> 7 for _, _, signature in vectors()} == {0, 1}


async def test_our_own_signer_signs_as_libsignal_does(crypto: NativeCrypto) -> None:
    """What the other tests sign with holds; somebody else's does not."""
    one, other = Signer(), Signer()
    assert await verify(crypto, one.public, b"text", one.sign(b"text"))
    assert not await verify(crypto, other.public, b"text", one.sign(b"text"))


@given(st.sampled_from(vectors()), st.integers(0, 2), st.data())
async def test_nothing_bent_holds(vector: Vector, part: int, data: st.DataObject) -> None:
    """One bit of key, message or signature turned: refused, the bit of the sign as well."""
    bent = [bytearray(one) for one in vector]
    if not bent[part]:
        part = 2
    at = data.draw(st.integers(0, len(bent[part]) * 8 - 1))
    bent[part][at // 8] ^= 1 << at % 8
    key, message, signature = map(bytes, bent)
    assert not await verify(_port(), key, message, signature)


@given(st.binary(max_size=70), st.binary(max_size=5), st.binary(max_size=70))
async def test_anything_is_judged_without_an_error(key: bytes, text: bytes, made: bytes) -> None:
    """Whatever has the form of a key or not: False, nothing raised."""
    assert not await verify(_port(), key, text, made)
    assert not await verify(_port(), key.ljust(32, b"k")[:32], text, made.ljust(64, b"s")[:64])


async def test_another_writing_of_the_same_numbers_is_refused(crypto: NativeCrypto) -> None:
    """u + p, u with its top bit set and s + L say the same to a lenient reader; not here."""
    for key, message, signature in vectors():
        top = key[:31] + bytes([key[31] | 0x80])
        assert not await verify(crypto, top, message, signature)
        s = int.from_bytes(signature[32:63] + bytes([signature[63] & 0x7F]), "little")
        if s + _L < 1 << 255:
            longer = (s + _L).to_bytes(32, "little")
            again = signature[:32] + longer[:31] + bytes([longer[31] | signature[63] & 0x80])
            assert not await verify(crypto, key, message, again)


def test_keys_of_small_order_are_of_no_use() -> None:
    """All five, and only in the one way of writing; X25519 agrees that they give nothing."""
    small = list(_small_order())
    assert len(small) == 5
    mine = X25519PrivateKey.generate()
    for u in small:
        key = u.to_bytes(32, "little")
        assert not is_usable(key)
        with pytest.raises(ValueError, match="shared key"):
            mine.exchange(X25519PublicKey.from_public_bytes(key))
    for u in (_P, _P + 1, 2**255 - 1):
        assert not is_usable(u.to_bytes(32, "little"))
    assert is_usable((9).to_bytes(32, "little"))
    assert not is_usable(b"\x09")


def _small_order() -> Iterator[int]:
    """Yield the u whose point times eight is nothing, by doubling (RFC 7748 §5)."""
    yield from (0, 1, _P - 1)
    for u in (
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    ):
        x, z = u, 1
        for _ in range(3):
            a, b = (x + z) ** 2 % _P, (x - z) ** 2 % _P
            x, z = a * b % _P, (a - b) * (b + 121666 * (a - b)) % _P
        assert z == 0
        yield u


@lru_cache
def _port() -> NativeCrypto:
    # hypothesis runs a test many times and has no fixture for each; nothing here needs its threads.
    return NativeCrypto(Settings.load(SECRETS), bytes)
