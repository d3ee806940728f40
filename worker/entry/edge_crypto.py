"""
The edge's crypto port: what WebCrypto has. PBKDF2 in rounds (worker/crypto.py says why).

WebCrypto runs outside Python and the isolate goes on meanwhile. An Argon2id hash, made on a host,
cannot be judged here: `UnknownHash`, which a sign-in answers like a wrong password.
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

from worker import interop
from worker.codec import b64url
from worker.crypto import (
    CHAINED_ITERATIONS,
    CHAINED_ROUNDS,
    HASH_BYTES,
    NONCE_BYTES,
    SALT_BYTES,
    ChainedHash,
    NotAuthentic,
    SignatureAlgorithm,
    UnknownHash,
    check_aes_key,
    read_chained,
    read_jwk,
    split_sealed,
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
        key = interop.buffer(public_key)
        return await _verify("raw", key, {"name": "Ed25519"}, "Ed25519", message, signature)

    async def verify_mldsa87(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """
        Verify with WebCrypto where it knows the algorithm, else in Python (dilithium-py).

        In Python it takes 40 ms, natively a fourth of one (facts/components.md).
        """
        if len(public_key) != 2592 or len(signature) != 4627:
            return False
        way = {"name": "ML-DSA-87"}
        try:
            key = interop.buffer(public_key)
            return await _verify("raw-public", key, way, "ML-DSA-87", message, signature)
        except interop.JsError as error:
            # How runtimes refuse a name, or a format of keys, that they do not know yet.
            if error.name not in ("NotSupportedError", "SyntaxError", "TypeError"):
                raise
        # Loaded with the first signature: few isolates ever see one.
        from dilithium_py.ml_dsa import ML_DSA_87

        return bool(ML_DSA_87.verify(public_key, message, signature))

    async def verify_signature(
        self,
        algorithm: SignatureAlgorithm,
        jwk: Mapping[str, Any],
        message: bytes,
        signature: bytes,
    ) -> bool:
        """Verify with WebCrypto."""
        found = read_jwk(algorithm, jwk)
        if found is None:
            return False
        if algorithm == "EdDSA":
            return await self.verify_ed25519(found["x"], message, signature)
        members = {name: b64url(value) for name, value in found.items()}
        if algorithm == "RS256":
            key = interop.plain_object(kty="RSA", **members)
            way = {"name": "RSASSA-PKCS1-v1_5", "hash": "SHA-256"}
            return await _verify("jwk", key, way, "RSASSA-PKCS1-v1_5", message, signature)
        key = interop.plain_object(kty="EC", crv="P-256", **members)
        judged = interop.plain_object(name="ECDSA", hash="SHA-256")
        way = {"name": "ECDSA", "namedCurve": "P-256"}
        return await _verify("jwk", key, way, judged, message, signature)

    async def seal(self, key: bytes, plain: bytes, associated: bytes) -> bytes:
        """Seal with WebCrypto."""
        nonce = self._random_bytes(NONCE_BYTES)
        return nonce + await _aes_gcm("encrypt", key, nonce, plain, associated)

    async def unseal(self, key: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Undo `seal`."""
        nonce, rest = split_sealed(sealed)
        try:
            return await _aes_gcm("decrypt", key, nonce, rest, associated)
        except interop.JsError as error:
            if error.name != "OperationError":
                raise
            raise NotAuthentic("Sealed data was changed, or the key is another.") from None


async def _verify(
    form: str, key: Any, way: dict[str, str], judged: Any, message: bytes, signature: bytes
) -> bool:
    """Import *key* in *form* for *way* and verify by *judged*; what has no form is not good."""
    subtle = interop.js_global("crypto").subtle
    uses = interop.array(["verify"])
    try:
        imported = await interop.call(
            subtle, "importKey", form, key, interop.plain_object(**way), False, uses
        )
        shown = interop.buffer(signature), interop.buffer(message)
        return bool(await interop.call(subtle, "verify", judged, imported, *shown))
    except interop.JsError as error:
        # The names by which WebCrypto refuses a key or a signature of a wrong form.
        if error.name in ("DataError", "OperationError"):
            return False
        raise


async def _aes_gcm(verb: str, key: bytes, nonce: bytes, data: bytes, associated: bytes) -> bytes:
    check_aes_key(key)
    subtle = interop.js_global("crypto").subtle
    imported = await interop.call(
        subtle, "importKey", "raw", interop.buffer(key), "AES-GCM", False, interop.array([verb])
    )
    way = interop.plain_object(
        name="AES-GCM", iv=interop.buffer(nonce), additionalData=interop.buffer(associated)
    )
    made = await interop.call(subtle, verb, way, imported, interop.buffer(data))
    return interop.to_bytes(made)


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
