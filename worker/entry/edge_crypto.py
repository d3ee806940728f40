"""
The edge's crypto port: what WebCrypto has. PBKDF2 in rounds (worker/crypto.py says why).

WebCrypto runs outside Python and the isolate goes on meanwhile. An Argon2id hash, made on a host,
cannot be judged here: `UnknownHash`, which a sign-in answers like a wrong password.
"""

import hmac
from collections.abc import Callable
from typing import Any, Final

from worker import interop
from worker.crypto import (
    CHAINED_ITERATIONS,
    CHAINED_ROUNDS,
    HASH_BYTES,
    SALT_BYTES,
    ChainedHash,
    UnknownHash,
    read_chained,
)

_DECOY: Final = ChainedHash(
    CHAINED_ITERATIONS, CHAINED_ROUNDS, bytes(SALT_BYTES), bytes(HASH_BYTES)
)


class EdgeCrypto:
    """Implements `worker.crypto.Crypto`."""

    __slots__ = ("_random_bytes",)

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    async def hash_password(self, password: str) -> str:
        """Return a chained PBKDF2 hash."""
        salt = self._random_bytes(SALT_BYTES)
        digest = await _derive(password, salt, CHAINED_ITERATIONS, CHAINED_ROUNDS)
        return ChainedHash(CHAINED_ITERATIONS, CHAINED_ROUNDS, salt, digest).phc()

    async def verify_password(self, stored: str, password: str) -> bool:
        """Judge a hash of the edge; raises `UnknownHash` for one of a host."""
        found = read_chained(stored)
        digest = await _derive(password, found.salt, found.iterations, found.rounds)
        return hmac.compare_digest(digest, found.digest)

    def is_outdated(self, stored: str) -> bool:
        """Whether *stored* is no chained hash with today's parameters."""
        try:
            return not read_chained(stored).is_current
        except UnknownHash:
            return True

    def decoy(self) -> str:
        """Return a hash with today's parameters that no password has."""
        return _DECOY.phc()

    async def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Verify with WebCrypto (Secure Curves in the Web Cryptography API)."""
        subtle = interop.js_global("crypto").subtle
        try:
            key = await interop.call(
                subtle,
                "importKey",
                "raw",
                interop.buffer(public_key),
                interop.plain_object(name="Ed25519"),
                False,
                interop.array(["verify"]),
            )
            shown = interop.buffer(signature), interop.buffer(message)
            return bool(await interop.call(subtle, "verify", "Ed25519", key, *shown))
        except interop.JsError as error:
            # The names by which WebCrypto refuses a key or a signature of a wrong form.
            if error.name in ("DataError", "OperationError"):
                return False
            raise

    async def verify_mldsa87(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Verify in Python (dilithium-py), which takes the better part of a second."""
        # Loaded with the first signature: few isolates ever see one.
        from dilithium_py.ml_dsa import ML_DSA_87

        if len(public_key) != 2592 or len(signature) != 4627:
            return False
        return bool(ML_DSA_87.verify(public_key, message, signature))


async def _derive(password: str, salt: bytes, iterations: int, rounds: int) -> bytes:
    subtle = interop.js_global("crypto").subtle
    key = await interop.call(
        subtle,
        "importKey",
        "raw",
        interop.buffer(password.encode()),
        "PBKDF2",
        False,
        interop.array(["deriveBits"]),
    )
    link = salt
    for _ in range(rounds):
        way: Any = interop.plain_object(
            name="PBKDF2", hash="SHA-256", salt=interop.buffer(link), iterations=iterations
        )
        link = interop.to_bytes(await interop.call(subtle, "deriveBits", way, key, HASH_BYTES * 8))
    return link
