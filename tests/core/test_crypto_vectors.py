"""AES-GCM, HKDF and signatures on a host, by Wycheproof's vectors; keys that verify nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.crypto_vectors import disagreements
from tests.support.running_host import SECRETS
from worker.codec import b64url
from worker.crypto import Crypto, NotAuthentic, hkdf_sha256, read_jwk
from worker.entry.native_crypto import NativeCrypto
from worker.settings import Settings

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors" / "wycheproof.json").read_text()
)
KINDS = [kind for kind in VECTORS if kind != "source"]
_SETTINGS = Settings.load(SECRETS)
_RSA = VECTORS["RS256"][0]["jwk"]
_EC = VECTORS["ES256"][0]["jwk"]
_ED = VECTORS["EdDSA"][0]["jwk"]


def make(dice: Callable[[int], bytes]) -> Crypto:
    """Return the host's port."""
    return NativeCrypto(_SETTINGS, dice)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_host_agrees_with_wycheproof(kind: str) -> None:
    """Good ones pass; changed, cut, oddly encoded and borderline ones do not."""
    assert await disagreements(make, kind, VECTORS[kind]) == []


async def test_what_is_sealed_opens_with_its_key_and_place_only() -> None:
    """A nonce of its own each time; every changed byte, cut or other place is noticed."""
    crypto, key = make(os.urandom), os.urandom(32)
    sealed = await crypto.seal(key, b"plain", b"table/column/1")

    assert await crypto.unseal(key, sealed, b"table/column/1") == b"plain"
    assert sealed != await crypto.seal(key, b"plain", b"table/column/1")
    assert len(sealed) == 12 + 5 + 16
    broken = [
        sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :] for at in range(len(sealed))
    ]
    for other in (*broken, b"", sealed[:27], sealed[:-1], sealed + b"\0"):
        with pytest.raises(NotAuthentic):
            await crypto.unseal(key, other, b"table/column/1")
    for place in (b"", b"table/column/2"):
        with pytest.raises(NotAuthentic):
            await crypto.unseal(key, sealed, place)
    with pytest.raises(NotAuthentic):
        await crypto.unseal(os.urandom(32), sealed, b"table/column/1")
    with pytest.raises(ValueError, match="32 bytes"):
        await crypto.seal(key[:16], b"plain", b"")


@pytest.mark.parametrize(
    ("algorithm", "jwk"),
    [
        ("ES256", _RSA),
        ("RS256", _EC),
        ("EdDSA", _EC),
        ("HS256", {"kty": "oct", "k": b64url(b"k" * 32)}),
        ("none", _RSA),
        ("RS256", {**_RSA, "use": "enc"}),
        ("RS256", {**_RSA, "alg": "RS512"}),
        ("RS256", {**_RSA, "e": "AQ"}),
        ("RS256", {**_RSA, "e": "AAEAAQ"}),
        ("RS256", {**_RSA, "n": b64url(b"\xff" * 128)}),
        ("RS256", {**_RSA, "n": b64url(b"\xff" * 1024)}),
        ("RS256", {**_RSA, "n": _RSA["n"] + "="}),
        ("RS256", {**_RSA, "n": 5}),
        ("RS256", {"kty": "RSA"}),
        ("RS256", {"kty": ["RSA"], "n": _RSA["n"], "e": _RSA["e"]}),
        ("ES256", {**_EC, "crv": "P-384"}),
        ("ES256", {**_EC, "x": b64url(b"x" * 31)}),
        ("EdDSA", {**_ED, "crv": "Ed448"}),
        ("EdDSA", {**_ED, "x": ""}),
        ("ML-DSA-87", {"kty": "AKP", "alg": "ML-DSA-87", "pub": "AA"}),
        ("RS256", {}),
    ],
)
def test_a_key_of_another_kind_verifies_nothing(algorithm: str, jwk: dict[str, Any]) -> None:
    """Sets of keys hold such; the same are refused on a host and at the edge."""
    assert read_jwk(algorithm, jwk) is None


async def test_a_point_off_the_curve_verifies_nothing() -> None:
    """Its coordinates have the right length and mean nothing."""
    row = next(one for one in VECTORS["ES256"] if one["good"])
    jwk = {**row["jwk"], "y": b64url(b"\1" * 32)}
    message, signature = bytes.fromhex(row["message"]), bytes.fromhex(row["signature"])

    assert not await make(os.urandom).verify_signature("ES256", jwk, message, signature)


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80), st.integers(1, 300))
def test_hkdf_is_that_of_cryptography(secret: bytes, salt: bytes, info: bytes, length: int) -> None:
    """Ours is ten lines over HMAC, so that it is the same everywhere."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    theirs = HKDF(SHA256(), length, salt, info).derive(secret)

    assert hkdf_sha256(secret, salt, info, length) == theirs


@pytest.mark.parametrize("length", [0, 8161])
def test_hkdf_ends_where_its_counter_does(length: int) -> None:
    """RFC 5869 §2.3."""
    with pytest.raises(ValueError, match="8160"):
        hkdf_sha256(b"k", b"", b"", length)
