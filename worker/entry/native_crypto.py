"""
The host's crypto port: `cryptography`, and Argon2id in a few threads of its own at lower priority.

A hash keeps a processor busy for tens of milliseconds and the loop must not notice. Native code
lets go of Python's lock while it works; the threads give way to the loop when both want the same
core; and only so many hashes may wait, because each waiting one is a request that holds memory.
"""

import asyncio
import contextlib
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from worker.crypto import (
    HASH_BYTES,
    NONCE_BYTES,
    SALT_BYTES,
    NotAuthentic,
    SignatureAlgorithm,
    UnknownHash,
    b64,
    check_aes_key,
    read_chained,
    read_jwk,
    split_sealed,
)
from worker.errors import Busy
from worker.settings import Settings

# Passwords waiting for a thread of a host: at 25 hashes a second and core, about two seconds.
HASHES_WAITING = 64

T = TypeVar("T")

# Next to a loop that wants a whole core, a thread at 5 gets a fourth of it, one at 10 a tenth.
_NICE: Final = 5
# Half of the processors: the other half is for everybody who is not signing in.
_THREADS: Final = max(1, (os.cpu_count() or 1) // 2)
_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,8}),t=([0-9]{1,3}),p=([0-9]{1,3})\$[^$]+\$[^$]+"
)
# What a damaged row may make us spend: 1 GiB and 64 passes, the most that settings allow.
_MOST: Final = (1_048_576, 64, 16)


class NativeCrypto:
    """Implements `worker.crypto.Crypto`."""

    def __init__(self, settings: Settings, random_bytes: Callable[[int], bytes]) -> None:
        self._cost = (settings.argon2_memory_kib, settings.argon2_passes, settings.argon2_lanes)
        self._random_bytes = random_bytes
        self._pool = ThreadPoolExecutor(_THREADS, "passwords", initializer=_step_back)
        self._waiting = 0

    async def hash_password(self, password: str) -> str:
        """Return an Argon2id hash; raises `Busy` when too many wait."""
        salt = self._random_bytes(SALT_BYTES)
        return await self._run(lambda: _hash(password.encode(), salt, self._cost))

    async def verify_password(self, stored: str, password: str) -> bool:
        """Judge a hash of a host or of the edge; raises `Busy`, `UnknownHash`."""
        secret = password.encode()
        if stored.startswith("$argon2id$"):
            found = _ARGON2.fullmatch(stored)
            if found is None or any(
                int(asked) > most for asked, most in zip(found.groups(), _MOST, strict=True)
            ):
                raise UnknownHash("This Argon2id hash is damaged.")
            return await self._run(lambda: _verify(stored, secret))
        chained = read_chained(stored)

        def judge() -> bool:
            link = chained.salt
            for _ in range(chained.rounds):
                link = hashlib.pbkdf2_hmac("sha256", secret, link, chained.iterations)
            return hmac.compare_digest(link, chained.digest)

        return await self._run(judge)

    def is_outdated(self, stored: str) -> bool:
        """Whether *stored* is no Argon2id hash with the parameters of the settings."""
        return not stored.startswith(self._head)

    def decoy(self) -> str:
        """Return a hash with the parameters of the settings that no password has."""
        return f"{self._head}{b64(bytes(SALT_BYTES))}${b64(bytes(HASH_BYTES))}"

    async def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Verify on the loop: it takes a tenth of a millisecond, less than a way to a thread."""
        # Loaded with the first signature: starting a host does not wait for it.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    async def verify_mldsa87(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Verify on the loop: it takes a fourth of a millisecond."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PublicKey

        try:
            MLDSA87PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    async def verify_signature(
        self,
        algorithm: SignatureAlgorithm,
        jwk: Mapping[str, Any],
        message: bytes,
        signature: bytes,
    ) -> bool:
        """Verify on the loop: RS256 takes 0.03 ms, ES256 0.1 ms."""
        key = read_jwk(algorithm, jwk)
        if key is None:
            return False
        if algorithm == "EdDSA":
            return await self.verify_ed25519(key["x"], message, signature)
        verify = _verify_rs256 if algorithm == "RS256" else _verify_es256
        return verify(key, message, signature)

    async def seal(self, key: bytes, plain: bytes, associated: bytes) -> bytes:
        """Seal on the loop: a gigabyte a second."""
        check_aes_key(key)
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = self._random_bytes(NONCE_BYTES)
        return nonce + AESGCM(key).encrypt(nonce, plain, associated)

    async def unseal(self, key: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Undo `seal`."""
        check_aes_key(key)
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, rest = split_sealed(sealed)
        try:
            return AESGCM(key).decrypt(nonce, rest, associated)
        except InvalidTag:
            raise NotAuthentic("Sealed data was changed, or the key is another.") from None

    def close(self) -> None:
        """End the threads; hashes that wait are given up."""
        self._pool.shutdown(cancel_futures=True)

    @property
    def _head(self) -> str:
        memory, passes, lanes = self._cost
        return f"$argon2id$v=19$m={memory},t={passes},p={lanes}$"

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= HASHES_WAITING:
            raise Busy("Too many people are signing in.", headers={"Retry-After": "2"})
        self._waiting += 1
        future = asyncio.wrap_future(self._pool.submit(work))
        future.add_done_callback(self._done)
        return await future

    def _done(self, _future: "asyncio.Future[T]") -> None:
        self._waiting -= 1


def _hash(secret: bytes, salt: bytes, cost: tuple[int, int, int]) -> str:
    # Loaded with the first hash, in its thread: starting a host does not wait for it.
    from argon2.low_level import Type, hash_secret

    memory, passes, lanes = cost
    return hash_secret(secret, salt, passes, memory, lanes, HASH_BYTES, Type.ID).decode()


def _verify(stored: str, secret: bytes) -> bool:
    from argon2.exceptions import VerificationError, VerifyMismatchError
    from argon2.low_level import Type, verify_secret

    try:
        return verify_secret(stored.encode(), secret, Type.ID)
    except VerifyMismatchError:
        return False
    except VerificationError:
        raise UnknownHash("This Argon2id hash is damaged.") from None


def _verify_rs256(key: Mapping[str, bytes], message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from cryptography.hazmat.primitives.hashes import SHA256

    numbers = RSAPublicNumbers(int.from_bytes(key["e"]), int.from_bytes(key["n"]))
    try:
        numbers.public_key().verify(signature, message, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _verify_es256(key: Mapping[str, bytes], message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        SECP256R1,
        EllipticCurvePublicNumbers,
    )
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    if len(signature) != 64:
        return False
    x, y = (int.from_bytes(key[name]) for name in ("x", "y"))
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    try:
        public = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
        public.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _step_back() -> None:
    """Let others go first: on Linux a priority belongs to a thread."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
