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
import re
from dataclasses import dataclass
from typing import Final, Protocol

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
CHAINED_ITERATIONS: Final = 100_000
CHAINED_ROUNDS: Final = 6

_CHAINED = re.compile(
    r"\$pbkdf2-sha256-chained\$i=([0-9]{4,6}),r=([0-9]{1,2})\$([A-Za-z0-9+/]{22,86})\$([A-Za-z0-9+/]{43})"
)


class UnknownHash(ValueError):  # noqa: N818 - says what it is
    """This platform cannot judge the stored hash; its text does not quote it."""


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


def b64(data: bytes) -> str:
    """Encode as the PHC string format does: plain base64 without padding."""
    return base64.b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Undo `b64`; raises binascii.Error."""
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
