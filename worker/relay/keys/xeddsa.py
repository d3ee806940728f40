"""
XEdDSA over Curve25519: a Diffie-Hellman identity key that also signs
(https://signal.org/docs/specifications/xeddsa/, §2.3 and §3).

A signature is an Ed25519 signature under the Edwards form of the Montgomery key; as libsignal makes
them, the sign of that point travels in the top bit of the signature. So what is left to verify is
plain Ed25519, which the crypto port does.
"""

from typing import Final, Protocol

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
# Points whose order divides 8: whatever one multiplies them by, the outcome is known.
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)


class Ed25519(Protocol):
    """What is needed of the crypto port."""

    async def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """See `worker.crypto.Crypto`."""


def is_usable(public_key: bytes) -> bool:
    """Whether *public_key* is 32 bytes that write a u coordinate in the one way, of large order."""
    u = int.from_bytes(public_key, "little")
    return len(public_key) == KEY_BYTES and u < _P and u not in _SMALL_ORDER


async def verify(crypto: Ed25519, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """
    Whether *signature* (64 bytes) of *message* was made with *public_key* (u coordinate, 32 bytes).

    A key or signature of another form holds nothing; it does not raise.
    """
    if len(signature) != SIGNATURE_BYTES or not is_usable(public_key):
        return False
    u = int.from_bytes(public_key, "little")
    y = (u - 1) * pow(u + 1, -1, _P) % _P
    last = signature[-1]
    point = (y | (last >> 7) << 255).to_bytes(KEY_BYTES, "little")
    return await crypto.verify_ed25519(point, message, signature[:-1] + bytes((last & 0x7F,)))
