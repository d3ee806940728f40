"""
The blob: header, key check, ciphertext (docs/backup-format.md).

    64 bytes header · 32 bytes key check · AES-256-GCM ciphertext · 16 bytes tag

The first 96 bytes are the cipher's associated data. The key check is derived beside the encryption
key, after Argon2id: it tells a wrong password from damage and ties a blob to one key (GCM alone
does not). It spares an attacker nothing: the tag behind it would answer the same question.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass

from clients.python.backup import password as passwords
from clients.python.backup import payload as payloads
from clients.python.backup.errors import (
    BodyDamaged,
    HeaderDamaged,
    TooLarge,
    Unsupported,
    WrongPassword,
)
from clients.python.backup.keys import SALT_BYTES, Cost, Keys, derive
from clients.python.backup.model import Payload

# Seed 1.001 §4.3, X16.
LARGEST_BLOB = 2 * 1024 * 1024
MAGIC = b"EKBACKUP"
VERSION = 1
_ARGON2ID = 1
_AES_256_GCM = 1
NONCE_BYTES = 12
# Magic, version, derivation, cipher, zero, memory KiB, passes, lanes, salt, nonce; big-endian.
_FIELDS = struct.Struct(f">8sBBBBIII{SALT_BYTES}s{NONCE_BYTES}s")
_CHECKSUM_BYTES = 12
HEADER_BYTES = _FIELDS.size + _CHECKSUM_BYTES
_CHECK_BYTES = 32
HEAD_BYTES = HEADER_BYTES + _CHECK_BYTES
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Header:
    """What is readable without the password."""

    cost: Cost
    salt: bytes
    nonce: bytes

    def to_bytes(self) -> bytes:
        """Return the 64 bytes."""
        fields = _FIELDS.pack(
            MAGIC,
            VERSION,
            _ARGON2ID,
            _AES_256_GCM,
            0,
            self.cost.memory_kib,
            self.cost.passes,
            self.cost.lanes,
            self.salt,
            self.nonce,
        )
        return fields + _checksum(fields)

    @classmethod
    def parse(cls, blob: bytes) -> "Header":
        """
        Read and judge the header of *blob*, without any costly step.

        Raises `HeaderDamaged`, `Unsupported`, `TooWeak`, `TooCostly`.
        """
        if len(blob) < HEADER_BYTES or not blob.startswith(MAGIC):
            raise HeaderDamaged("This is no Edgekeep backup, or its beginning was damaged.")
        fields = blob[: _FIELDS.size]
        _, version, derivation, cipher, zero, *cost, salt, nonce = _FIELDS.unpack(fields)
        if version != VERSION:
            raise Unsupported(
                f"The backup has format {version}, this client knows {VERSION}: a newer Edgekeep "
                "made it, or its beginning was damaged."
            )
        if _checksum(fields) != blob[_FIELDS.size : HEADER_BYTES]:
            raise HeaderDamaged("The beginning of the backup was damaged.")
        if (derivation, cipher, zero) != (_ARGON2ID, _AES_256_GCM, 0):
            raise Unsupported("The backup uses an algorithm that this client does not know.")
        header = cls(Cost(*cost), salt, nonce)
        header.cost.check()
        return header


def seal(payload: Payload, password: str, cost: Cost, salt: bytes, nonce: bytes) -> bytes:
    """
    Return the blob of *payload*. *salt* and *nonce* are fresh random bytes at every call.

    Raises `WeakPassword`, `InvalidContact` and `TooLarge`. Runs Argon2id.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    passwords.check_new(password)
    cost.check()
    plain = payloads.encode(payload)
    if HEAD_BYTES + len(plain) + _TAG_BYTES > LARGEST_BLOB:
        raise TooLarge("There are more contacts than a backup of 2 MiB can hold.")
    header = Header(cost, salt, nonce).to_bytes()
    with derive(passwords.as_bytes(password), salt, cost) as keys:
        head = header + keys.check_value(header)
        return head + AESGCM(keys.encrypt).encrypt(nonce, plain, head)


def unseal(blob: bytes, password: str) -> Payload:
    """
    Return the payload of *blob*. Everything that needs no key is checked before Argon2id runs.

    Raises the subclasses of `BlobError`, and `TooLarge`.
    """
    if len(blob) > LARGEST_BLOB:
        raise TooLarge("This is larger than a backup can be.")
    header = Header.parse(blob)
    length = len(blob) - HEAD_BYTES - _TAG_BYTES
    if length <= 0 or length % payloads.BLOCK_BYTES:
        raise BodyDamaged("The backup is cut off, or something was added to it.")
    with derive(passwords.as_bytes(password), header.salt, header.cost) as keys:
        return open_with(blob, header, keys)


def open_with(blob: bytes, header: Header, keys: Keys) -> Payload:
    """
    Return the payload of *blob* under *keys*.

    Raises `WrongPassword`, `BodyDamaged`, `PayloadInvalid`, `Unsupported`.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = blob[:HEAD_BYTES]
    if not hmac.compare_digest(keys.check_value(head[:HEADER_BYTES]), head[HEADER_BYTES:]):
        raise WrongPassword("The password is not the one this backup was made with.")
    try:
        plain = AESGCM(keys.encrypt).decrypt(header.nonce, blob[HEAD_BYTES:], head)
    except InvalidTag:
        raise BodyDamaged(
            "The password is right, and the backup was damaged or changed on the way."
        ) from None
    return payloads.decode(plain)


def digest(blob: bytes) -> str:
    """Return the SHA-256 of *blob* as hex: how a client knows its own upload again."""
    return hashlib.sha256(blob).hexdigest()


def _checksum(fields: bytes) -> bytes:
    return hashlib.sha256(fields).digest()[:_CHECKSUM_BYTES]
