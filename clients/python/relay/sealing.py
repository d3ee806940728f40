"""
How the demo seals a text: X3DH (https://signal.org/docs/specifications/x3dh/) for every message.

Each message takes a bundle of its own, so each has a key of its own: of X25519 between both
identity keys, a signed prekey, a one-time prekey and a key made for the message, through
HKDF-SHA-256 to one use of AES-256-GCM. Who reads it forgets the one-time secret, after which nobody
opens it again.
There is no ratchet and nothing against quantum computers, and nobody has audited it: libsignal is
for messengers, this is for looking at the relay.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clients.python.relay.errors import SealError

_MARK: Final = b"edgekeep demo 1\n"
_EC: Final = b"\x05"
_P: Final = 2**255 - 19
_HEAD_BYTES: Final = len(_MARK) + 4 + 4 + 32 + 32


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """
    A Curve25519 key that agrees and signs (XEdDSA), from a seed of 32 bytes.

    Its scalar is that of the Ed25519 key of the same seed (RFC 8032 §5.1.5), which signs.
    """

    seed: bytes

    @property
    def public(self) -> bytes:
        """The u coordinate, 32 bytes."""
        y = int.from_bytes(self._point, "little") & (1 << 255) - 1
        return ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(32, "little")

    @property
    def agreement(self) -> X25519PrivateKey:
        """The same key for Diffie-Hellman."""
        return X25519PrivateKey.from_private_bytes(hashlib.sha512(self.seed).digest()[:32])

    def sign(self, message: bytes) -> bytes:
        """Return the XEdDSA signature of *message*."""
        made = self._signer.sign(message)
        return made[:63] + bytes([made[63] | self._point[31] & 0x80])

    @property
    def _signer(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def _point(self) -> bytes:
        return self._signer.public_key().public_bytes_raw()


def seal(text: bytes, me: IdentityKey, my_id: str, bundle: dict[str, Any]) -> bytes:
    """Return *text* sealed for whom *bundle* belongs to; raises `SealError`."""
    try:
        theirs = unpack(bundle["identity_key"])
        signed, one_time = bundle["signed_pre_key"], bundle["one_time_pre_key"]
        signature = b64decode(signed["signature"])
        if not is_signed(theirs, _EC + unpack(signed["key"]), signature):
            raise SealError("The bundle's prekey is not signed by its identity key.")
        once = X25519PrivateKey.generate()
        numbers = signed["id"].to_bytes(4) + one_time["id"].to_bytes(4)
        head = _MARK + numbers + me.public + once.public_key().public_bytes_raw()
        key = _derive(
            _agree(me.agreement, unpack(signed["key"])),
            _agree(once, theirs),
            _agree(once, unpack(signed["key"])),
            _agree(once, unpack(one_time["key"])),
        )
        about = _about(head, theirs, my_id, bundle["account_id"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise SealError("The server's bundle cannot be used.") from None
    return bytes(head + AESGCM(key).encrypt(bytes(12), text, about))


def unseal(
    sealed: bytes,
    me: IdentityKey,
    my_id: str,
    sender_id: str,
    secret_of: Callable[[str, int], bytes | None],
) -> tuple[bytes, int, bytes]:
    """
    Return the sender's identity key, the id of the one-time prekey that was used, and the text.

    *secret_of* gives the secret of a prekey by kind ("signed", "one_time") and id. Raises
    `SealError`.
    """
    head, body = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES:]
    if len(head) < _HEAD_BYTES or not head.startswith(_MARK):
        raise SealError("It was not sealed by this demo.")
    signed_id, one_time_id = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    theirs, once = head[24:56], head[56:]
    signed, one_time = secret_of("signed", signed_id), secret_of("one_time", one_time_id)
    if signed is None or one_time is None:
        raise SealError("Its prekey is gone: it was read before, or is for an older identity.")
    signed_key = X25519PrivateKey.from_private_bytes(signed)
    try:
        key = _derive(
            _agree(signed_key, theirs),
            _agree(me.agreement, once),
            _agree(signed_key, once),
            _agree(X25519PrivateKey.from_private_bytes(one_time), once),
        )
        about = _about(head, me.public, sender_id, my_id)
        return theirs, one_time_id, AESGCM(key).decrypt(bytes(12), body, about)
    except (InvalidTag, ValueError):
        raise SealError("It does not open: altered on its way, or not from this sender.") from None


def is_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """
    Whether *signature* is XEdDSA of *message* under the u coordinate *public_key* (§2.3, §3).

    It is Ed25519 under the same key's Edwards form, whose sign travels in the signature's top bit.
    Raises ValueError for what is no key.
    """
    if len(signature) != 64:
        return False
    u, last = int.from_bytes(public_key, "little"), signature[63]
    y = (u - 1) * pow(u + 1, -1, _P) % _P
    point = (y | (last >> 7) << 255).to_bytes(32, "little")
    try:
        signer = Ed25519PublicKey.from_public_bytes(point)
        signer.verify(signature[:63] + bytes([last & 0x7F]), message)
    except InvalidSignature:
        return False
    return True


def pack(public_key: bytes) -> str:
    """Return a Curve25519 key as the server's doors take it."""
    return b64encode(_EC + public_key).decode()


def unpack(text: str) -> bytes:
    """Undo `pack`; raises ValueError."""
    key = b64decode(text, validate=True)
    if len(key) != 33 or key[:1] != _EC:
        raise ValueError("not a Curve25519 key")
    return key[1:]


def fingerprint(public_key: bytes) -> str:
    """Return what two people compare over the telephone, 120 bits in groups."""
    digits = hashlib.sha256(b"edgekeep demo fingerprint\n" + public_key).hexdigest()[:30]
    return " ".join(digits[at : at + 5] for at in range(0, 30, 5))


def _agree(mine: X25519PrivateKey, theirs: bytes) -> bytes:
    """Return the shared secret; ValueError when it would be nothing."""
    return mine.exchange(X25519PublicKey.from_public_bytes(theirs))


def _derive(*secrets: bytes) -> bytes:
    # X3DH §2.2: 32 bytes FF first, a salt of zeros.
    hkdf = HKDF(SHA256(), 32, salt=bytes(32), info=_MARK)
    return hkdf.derive(b"\xff" * 32 + b"".join(secrets))


def _about(head: bytes, recipient: bytes, sender_id: str, recipient_id: str) -> bytes:
    """Return what is authenticated beside the text: both keys and both accounts."""
    return head + recipient + f"{sender_id}\n{recipient_id}".encode()
