"""
Checksums: computed while a body streams, compared with the one the caller states.

Every single put has an MD5 (it is the etag); at most one more algorithm may be stated.
Source: bindings.md C5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from r2.errors import BAD_DIGEST, R2Error

# Option name → (the name in R2's messages, bytes of a digest).
ALGORITHMS: Final = {
    "md5": ("MD5", 16),
    "sha1": ("SHA-1", 20),
    "sha256": ("SHA-256", 32),
    "sha384": ("SHA-384", 48),
    "sha512": ("SHA-512", 64),
}


@dataclass(frozen=True, slots=True)
class R2Checksums:
    """The digests R2 knows of an object; none for one uploaded in parts."""

    md5: bytes | None = None
    sha1: bytes | None = None
    sha256: bytes | None = None
    sha384: bytes | None = None
    sha512: bytes | None = None

    def to_json(self) -> dict[str, str]:
        """Return the known digests as lower-case hex, by option name."""
        return {
            name: digest.hex() for name in ALGORITHMS if (digest := getattr(self, name)) is not None
        }

    @classmethod
    def from_json(cls, digests: Mapping[str, str]) -> R2Checksums:
        """Return what `to_json` wrote."""
        return cls(**{name: bytes.fromhex(digest) for name, digest in digests.items()})


@dataclass(frozen=True, slots=True)
class StatedChecksum:
    """The digest a caller says the body has."""

    algorithm: str
    digest: bytes


def parse_checksum(stated: Mapping[str, object]) -> StatedChecksum | None:
    """
    Return the one checksum in *stated* (option name → value), None when there is none.

    A value is hex of either case, or bytes. Raises TypeError with the runtime's texts.
    """
    given = [(name, value) for name, value in stated.items() if value is not None]
    if not given:
        return None
    if len(given) > 1:
        raise TypeError("You cannot specify multiple hashing algorithms.")
    name, value = given[0]
    return StatedChecksum(name, _digest(name, value))


def _digest(name: str, value: object) -> bytes:
    label, size = ALGORITHMS[name]
    if isinstance(value, str):
        if len(value) != size * 2:
            raise TypeError(f"{label} is {size * 2} hex characters, not {len(value)}")
        # bytes.fromhex skips blanks, so that alone would let "ab cd" through.
        if any(character not in "0123456789abcdefABCDEF" for character in value):
            raise TypeError(f"Provided {label} wasn't a valid hex string")
        return bytes.fromhex(value)
    if isinstance(value, bytes | bytearray | memoryview):
        digest = bytes(value)
        if len(digest) != size:
            raise TypeError(f"{label} is {size} bytes, not {len(digest)}")
        return digest
    raise TypeError(f"{name} is a hex str or bytes, not {type(value).__name__}.")


class Digester:
    """Takes a body chunk by chunk. Not for several threads at once."""

    def __init__(self, stated: StatedChecksum | None = None) -> None:
        """Compute MD5, and what *stated* names."""
        self._stated = stated
        names = {"md5", stated.algorithm} if stated is not None else {"md5"}
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}

    def update(self, chunk: bytes | memoryview) -> None:
        """Take the next *chunk* of the body."""
        for running in self._hashes.values():
            running.update(chunk)

    def finish(self) -> R2Checksums:
        """Return the checksums; R2Error 10037 when the stated one is not the actual one."""
        digests = {name: running.digest() for name, running in self._hashes.items()}
        stated = self._stated
        if stated is not None and digests[stated.algorithm] != stated.digest:
            label = ALGORITHMS[stated.algorithm][0]
            raise R2Error(
                "put",
                f"The {label} checksum you specified did not match what we received.\n"
                f"You provided a {label} checksum with value: {stated.digest.hex()}\n"
                f"Actual {label} was: {digests[stated.algorithm].hex()}",
                BAD_DIGEST,
            )
        return R2Checksums(**digests)
