"""
The crypto port (`env.tools.crypto`): what costs too much for the loop, or differs by platform.

A stored password hash says itself how it was made (PHC string format), so that each can be judged
by what made it and be made anew when the parameters change. Two kinds exist:

- `$argon2id$…` (RFC 9106), made and judged on a host;
- `$pbkdf2-sha256-chained$i=100000,r=6$salt$hash`, made at the edge, whose WebCrypto has nothing
  better, and judged everywhere. A Worker may ask for 100,000 iterations in one call; six rounds,
  each salted with what the one before gave, cost the 600,000 that OWASP asks for.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from worker.codec import unb64url

# The field of edwards25519, and d of its curve -x² + y² = 1 + d x² y² (RFC 8032 §5.1).
_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
CHAINED_ITERATIONS: Final = 100_000
CHAINED_ROUNDS: Final = 6
AES_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16

SignatureAlgorithm = Literal["RS256", "ES256", "EdDSA"]
"""What a signed token may be signed with (RFC 7518 §3.1, RFC 8037: Ed25519)."""

# WebCrypto of Workers imports keys with these two exponents only.
_EXPONENTS: Final = frozenset({3, 65537})
_RSA_BITS: Final = range(2048, 4097)

_CHAINED = re.compile(
    r"\$pbkdf2-sha256-chained\$i=([0-9]{4,6}),r=([0-9]{1,2})\$([A-Za-z0-9+/]{22,86})\$([A-Za-z0-9+/]{43})"
)


class UnknownHash(ValueError):  # noqa: N818 - says what it is
    """This platform cannot judge the stored hash; its text does not quote it."""


class NotAuthentic(ValueError):  # noqa: N818 - says what it is
    """Sealed data was changed, cut, or sealed under another key or for another place."""


class Crypto(Protocol):
    """Heavy or native cryptography of a platform."""

    async def hash_password(self, password: str) -> str:
        """Return a new hash of *password*, with salt and parameters; raises `Busy`."""

    async def verify_password(self, stored: str, password: str) -> bool:
        """Whether *stored* was made of *password*; raises `Busy`, `UnknownHash`."""

    def is_outdated(self, stored: str) -> bool:
        """Whether *stored* was made with other parameters, or another way, than today's."""

    def decoy(self) -> str:
        """Return a hash that no password has and that takes as long to judge as a real one."""

    async def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether *signature* of *message* is good (RFC 8032); what is no key or point: False."""

    async def verify_mldsa87(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether *signature* of *message* is good (FIPS 204, ML-DSA-87, empty context)."""

    async def verify_signature(
        self,
        algorithm: SignatureAlgorithm,
        jwk: Mapping[str, Any],
        message: bytes,
        signature: bytes,
    ) -> bool:
        """
        Whether *signature* of *message* is good under the public key *jwk* (RFC 7517).

        A key that is not of *algorithm*, or not one that we use (`read_jwk`), verifies nothing.
        """

    async def seal(self, key: bytes, plain: bytes, associated: bytes) -> bytes:
        """Return nonce, ciphertext and tag in one (AES-256-GCM); *associated* is not inside."""

    async def unseal(self, key: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Undo `seal` with the same *key* and *associated*; raises `NotAuthentic`."""


@dataclass(frozen=True, slots=True)
class ChainedHash:
    """A hash of the edge, in its parts."""

    iterations: int
    rounds: int
    salt: bytes
    digest: bytes

    def phc(self) -> str:
        """Write it as it is stored."""
        parameters = f"i={self.iterations},r={self.rounds}"
        return f"$pbkdf2-sha256-chained${parameters}${b64(self.salt)}${b64(self.digest)}"

    @property
    def is_current(self) -> bool:
        """Whether it has today's parameters."""
        return (self.iterations, self.rounds) == (CHAINED_ITERATIONS, CHAINED_ROUNDS)


def read_chained(stored: str) -> ChainedHash:
    """Undo `ChainedHash.phc`; raises `UnknownHash` for anything else."""
    found = _CHAINED.fullmatch(stored)
    if found is None or int(found[1]) > CHAINED_ITERATIONS or not 1 <= int(found[2]) <= 60:
        raise UnknownHash("This is not a password hash of the edge.")
    try:
        salt, digest = unb64(found[3]), unb64(found[4])
    except binascii.Error:
        raise UnknownHash("This password hash is damaged.") from None
    return ChainedHash(int(found[1]), int(found[2]), salt, digest)


def is_sound_ed25519(key: bytes) -> bool:
    """
    Whether *key* is a public key that somebody can have: a point of large order, in its one form.

    Under one of the eight points of small order signatures can be made without any secret (RFC 8032
    §5.1.3 and §5.1.7; Chalkias and others, "Taming the many EdDSAs").
    """
    y = int.from_bytes(key, "little") & ~(1 << 255)
    if len(key) != 32 or y >= _P:
        return False
    # x² = (y² - 1) / (d y² + 1); the point exists where that is a square.
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if square and pow(square, (_P - 1) // 2, _P) != 1:
        return False
    # Doubled three times, the eight points of small order end at the neutral one, where y is 1.
    # With x² and y² alone: y' = (y² + x²) / (2 + x² - y²), x'² = 4 x² y² / (y² - x²)².
    for _ in range(3):
        x2, y2 = square, y * y % _P
        y = (y2 + x2) * pow(2 + x2 - y2, -1, _P) % _P
        square = 4 * x2 * y2 * pow(y2 - x2, -2, _P) % _P
    return y != 1


def b64(data: bytes) -> str:
    """Encode as the PHC string format does: plain base64 without padding."""
    return base64.b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Undo `b64`; raises binascii.Error."""
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """Return *length* bytes of key material (RFC 5869); *info* says what they are for."""
    if not 0 < length <= 255 * 32:
        raise ValueError("HKDF gives 1 to 8160 bytes.")
    # An empty salt is one of zeros: HMAC pads its key with them.
    seed = hmac.digest(salt, secret, "sha256")
    block, made = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(seed, block + info + bytes((number,)), "sha256")
        made += block
    return made[:length]


def check_aes_key(key: bytes) -> None:
    """Raise ValueError unless *key* is one for AES-256."""
    if len(key) != AES_KEY_BYTES:
        raise ValueError("A key of AES-256 has 32 bytes.")


def split_sealed(sealed: bytes) -> tuple[bytes, bytes]:
    """Return (nonce, ciphertext with tag); raises `NotAuthentic` for what is too short."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise NotAuthentic("What is to be unsealed is too short.")
    return sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]


def read_jwk(algorithm: str, jwk: Mapping[str, Any]) -> dict[str, bytes] | None:
    """
    Return the public members of *jwk* that *algorithm* needs, as bytes; None: it is no such key.

    Sets of keys hold keys for other algorithms and uses, and kinds that are yet to come. Judged
    here and not by the platform, so that a host and the edge refuse the same.
    """
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        return None
    try:
        wanted = _JWK_MEMBERS[algorithm, jwk.get("kty"), jwk.get("crv")]
        found = {name: unb64url(jwk[name]) for name in wanted}
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if algorithm == "RS256":
        modulus, exponent = (int.from_bytes(found[name]) for name in ("n", "e"))
        usable = modulus.bit_length() in _RSA_BITS and exponent in _EXPONENTS
        usable = usable and not any(value.startswith(b"\0") for value in found.values())
        return found if usable else None
    return found if all(len(value) == 32 for value in found.values()) else None


_JWK_MEMBERS: Final[Mapping[tuple[str, Any, Any], tuple[str, ...]]] = {
    ("RS256", "RSA", None): ("n", "e"),
    ("ES256", "EC", "P-256"): ("x", "y"),
    ("EdDSA", "OKP", "Ed25519"): ("x",),
}
