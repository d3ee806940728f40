"""
Object ids: 32 bytes that carry the proof of their class.

The first half is derived from the name (or random), the second half is a keyed hash of the
first, with a key derived from the class. So an id of another class is recognised without
looking anything up, and one name gives the same id on every machine.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from durable.contract import ObjectId, check_hex

_HALF: Final = 16


class IdFactory:
    """Makes and checks the ids of one class."""

    __slots__ = ("_key", "_random_bytes")

    def __init__(self, class_name: str, random_bytes: Callable[[int], bytes]) -> None:
        self._key = hashlib.sha256(b"edgekeep durable object\0" + class_name.encode()).digest()
        self._random_bytes = random_bytes

    def from_name(self, name: str) -> ObjectId:
        """Return the id of *name*. TypeError unless it is a str."""
        if not isinstance(name, str):
            raise TypeError(f"A name must be str, not {type(name).__name__}.")
        base = self._hash(b"name\0" + name.encode("utf-8", "surrogatepass"))
        return ObjectId((base + self._hash(base)).hex(), name)

    def unique(self) -> ObjectId:
        """Return a new id without a name."""
        base = self._random_bytes(_HALF)
        return ObjectId((base + self._hash(base)).hex())

    def from_hex(self, text: str) -> ObjectId:
        """Return the id *text*. TypeError when malformed or of another class."""
        digits = check_hex(text)
        self.check(digits)
        return ObjectId(digits)

    def check(self, digits: str) -> None:
        """TypeError unless the id belongs to this class."""
        raw = bytes.fromhex(digits)
        if not hmac.compare_digest(self._hash(raw[:_HALF]), raw[_HALF:]):
            raise TypeError("Durable Object ID is not valid for this namespace.")

    def _hash(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")[:_HALF]
