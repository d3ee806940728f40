"""The key pair that is the person: made once, carried by every backup."""

import hashlib
import os

from clients.python.backup.model import CURVE25519, IdentityPair

_PUBLIC_MARK = b"\x05"


def new_identity() -> IdentityPair:
    """
    Make a Curve25519 key pair in the form that libsignal serialises.

    The private key is clamped as RFC 7748 §5 says, as libsignal stores its own.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    scalar = bytearray(os.urandom(32))
    scalar[0] &= 0xF8
    scalar[31] = scalar[31] & 0x7F | 0x40
    public = X25519PrivateKey.from_private_bytes(bytes(scalar)).public_key().public_bytes_raw()
    return IdentityPair(CURVE25519, _PUBLIC_MARK + public, bytes(scalar))


def fingerprint(identity: IdentityPair) -> str:
    """Return what people compare: 16 bytes of the public key's SHA-256, in groups of four."""
    digest = hashlib.sha256(identity.public_key).hexdigest()[:32]
    return " ".join(digest[start : start + 4] for start in range(0, 32, 4))
