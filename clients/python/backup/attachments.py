"""
The avatar behind the profile reference: encrypted here, stored by the server as it comes.

    12 bytes nonce · AES-256-GCM ciphertext · 16 bytes tag, under a random key of its own
"""

import os

from clients.python.backup.errors import BodyDamaged, TooLarge
from clients.python.backup.model import PROFILE_KEY_BYTES
from clients.python.backup.server import LARGEST_ATTACHMENT

_NONCE_BYTES = 12
_TAG_BYTES = 16
_PURPOSE = b"edgekeep attachment v1"


def seal_attachment(content: bytes) -> tuple[bytes, bytes]:
    """Return the blob of *content* and the fresh key that opens it; raises `TooLarge`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(content) + _NONCE_BYTES + _TAG_BYTES > LARGEST_ATTACHMENT:
        raise TooLarge("An avatar has at most 50 MiB.")
    key, nonce = os.urandom(PROFILE_KEY_BYTES), os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, _PURPOSE), key


def open_attachment(blob: bytes, key: bytes) -> bytes:
    """Return the content of *blob*; raises `BodyDamaged`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], _PURPOSE)
    except (InvalidTag, ValueError):
        raise BodyDamaged("The avatar was damaged or changed on the server.") from None
