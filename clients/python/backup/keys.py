"""
From a password to keys: Argon2id within bounds, then HKDF (docs/backup-format.md, "Keys").

The floor is RFC 9106 §4's second recommended option (64 MiB, 3 passes) with one lane instead of
four: WebAssembly in a browser has one thread. It lies above OWASP's minimum (19 MiB, 2 passes).
The ceiling is what a hostile server may make a client spend: about three seconds here.
"""

import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from clients.python.backup.errors import TooCostly, TooWeak

KEY_BYTES = 32
SALT_BYTES = 16

_HIGHEST_MEMORY_KIB = 512 * 1024
_HIGHEST_PASSES = 16
_HIGHEST_LANES = 16
# Time grows with memory times passes.
_HIGHEST_WORK = 2 * 1024 * 1024

# Seed 1.001 §2.1: about half a second to one second.
_SHORTEST_SECONDS = 0.5
_LONGEST_SECONDS = 1.0
_TARGET_SECONDS = 0.75
# What is sealed on a laptop must open on a telephone.
_HIGHEST_CALIBRATED_MEMORY_KIB = 256 * 1024

_ENCRYPT = b"edgekeep backup v1 encrypt"
_CHECK = b"edgekeep backup v1 check"


@dataclass(frozen=True, slots=True)
class Cost:
    """What Argon2id (version 0x13) costs: memory in KiB, passes over it, lanes."""

    memory_kib: int
    passes: int
    lanes: int

    def check(self) -> None:
        """Raise `TooWeak` below the floor and `TooCostly` above the ceiling."""
        if self.memory_kib < FLOOR.memory_kib or self.passes < FLOOR.passes or self.lanes < 1:
            raise TooWeak(
                "This backup asks for a weaker key derivation than any client of Edgekeep uses. "
                "Somebody may have put it there to learn your password; it was not opened."
            )
        if (
            self.memory_kib > _HIGHEST_MEMORY_KIB
            or self.passes > _HIGHEST_PASSES
            or self.lanes > _HIGHEST_LANES
            or self.memory_kib * self.passes > _HIGHEST_WORK
        ):
            raise TooCostly(
                "This backup asks for a key derivation that would hold up this machine; it was "
                "not opened."
            )


FLOOR = Cost(memory_kib=64 * 1024, passes=3, lanes=1)


class Keys:
    """The two keys of one blob; a context that overwrites them at its end."""

    def __init__(self, encrypt: bytearray, check: bytearray) -> None:
        self.encrypt = encrypt
        self._check = check

    def __enter__(self) -> "Keys":
        return self

    def __exit__(self, *_: object) -> None:
        wipe(self.encrypt)
        wipe(self._check)

    def check_value(self, head: bytes) -> bytes:
        """Return the 32 bytes that tell whether the password fits to *head*."""
        return hmac.digest(self._check, head, "sha256")


def derive(password: bytes, salt: bytes, cost: Cost) -> Keys:
    """Return the keys for *password* (as `password.as_bytes` made it); runs Argon2id once."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def part(purpose: bytes) -> bytearray:
        return bytearray(HKDF(SHA256(), KEY_BYTES, None, purpose).derive(master))

    master = bytearray(_argon2id(password, salt, cost))
    try:
        return Keys(part(_ENCRYPT), part(_CHECK))
    finally:
        wipe(master)


def wipe(secret: bytearray) -> None:
    """Overwrite *secret*. Copies that the interpreter made are out of reach (docs/backup.md)."""
    secret[:] = bytes(len(secret))


def seconds_of(cost: Cost) -> float:
    """Measure *cost* on this machine once, in seconds."""
    began = time.perf_counter()
    _argon2id(b"calibration", bytes(SALT_BYTES), cost)
    return time.perf_counter() - began


def calibrate(measure: Callable[[Cost], float] = seconds_of) -> Cost:
    """
    Return the cost that takes about 750 ms here, never below the floor.

    Memory first (it is what an attacker's hardware lacks), up to 256 MiB, then passes.
    """
    floor_seconds = min(measure(FLOOR), measure(FLOOR))
    memory = FLOOR.memory_kib
    while (
        memory < _HIGHEST_CALIBRATED_MEMORY_KIB
        and floor_seconds * (memory / FLOOR.memory_kib) * 2 <= _TARGET_SECONDS
    ):
        memory *= 2
    cost = _bounded(memory, _TARGET_SECONDS / (floor_seconds * memory / FLOOR.memory_kib) * 3)
    # More memory than the caches hold costs more than its share, so the guess is measured.
    for _ in range(4):
        seconds = measure(cost)
        if _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
            break
        if seconds > _LONGEST_SECONDS and cost.passes == FLOOR.passes and memory > FLOOR.memory_kib:
            memory //= 2
            seconds /= 2
        nearer = _bounded(memory, cost.passes * _TARGET_SECONDS / seconds)
        if nearer == cost:
            break
        cost = nearer
    return cost


def _bounded(memory_kib: int, passes: float) -> Cost:
    highest = min(_HIGHEST_PASSES, _HIGHEST_WORK // memory_kib)
    whole = math.floor(min(passes, highest))
    return Cost(memory_kib, max(FLOOR.passes, whole), FLOOR.lanes)


def _argon2id(password: bytes, salt: bytes, cost: Cost) -> bytes:
    from argon2.low_level import Type, hash_secret_raw

    return hash_secret_raw(
        password, salt, cost.passes, cost.memory_kib, cost.lanes, KEY_BYTES, Type.ID, 0x13
    )
