"""People of the relay with keys: made without libsignal, signed as libsignal signs."""

import hashlib
import itertools
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.accounts import PASSWORD, bearer
from tests.support.running_host import Answer, RunningHost

_P = 2**255 - 19


class Signer:
    """
    A Curve25519 key that signs by XEdDSA.

    Made of an Ed25519 key, whose secret scalar serves both curves; the sign of its public point
    goes where XEdDSA has it.
    """

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._point = self._key.public_key().public_bytes_raw()
        y = int.from_bytes(self._point, "little") & (1 << 255) - 1
        u = (1 + y) * pow(1 - y, -1, _P) % _P
        self.public = u.to_bytes(32, "little")

    def sign(self, message: bytes) -> bytes:
        """Return a signature of 64 bytes."""
        made = self._key.sign(message)
        return made[:63] + bytes([made[63] | self._point[31] & 0x80])


@dataclass
class Device:
    """What a client keeps on its own machine: keys, and the next id."""

    signer: Signer = field(default_factory=Signer)
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def identity_key(self) -> str:
        """The identity key as it is uploaded."""
        return _b64(b"\x05" + self.signer.public)

    def one_time(self, count: int, start: int | None = None) -> list[dict[str, Any]]:
        """Return new one-time prekeys, numbered on or from *start*."""
        ids: Iterable[int] = self.ids if start is None else itertools.count(start)
        return [
            {"id": number, "key": _b64(b"\x05" + os.urandom(31) + b"\x1f")}
            for number in itertools.islice(ids, count)
        ]

    def signed(self, number: int = 1) -> dict[str, Any]:
        """Return a signed prekey."""
        return self._signed(number, b"\x05" + os.urandom(31) + b"\x1f")

    def kyber(self, count: int) -> list[dict[str, Any]]:
        """Return signed one-time Kyber prekeys (of random bytes: the server only carries them)."""
        return [self.last_resort(number) for number in itertools.islice(self.ids, count)]

    def last_resort(self, number: int = 1) -> dict[str, Any]:
        """Return a signed Kyber prekey."""
        return self._signed(number, b"\x08" + os.urandom(1568))

    def upload(self, one_time: int = 3, **more: Any) -> dict[str, Any]:
        """Return what a first upload has."""
        return {
            "identity_key": self.identity_key,
            "registration_id": 4711,
            "signed_pre_key": self.signed(),
            "one_time_pre_keys": self.one_time(one_time),
            **more,
        }

    def has_signed(self, prekey: dict[str, Any]) -> bool:
        """Whether a prekey of a bundle is by this device (by its own lights: it signs again)."""
        key, signature = b64decode(prekey["key"]), b64decode(prekey["signature"])
        return self.signer.sign(key) == signature

    def _signed(self, number: int, key: bytes) -> dict[str, Any]:
        return {"id": number, "key": _b64(key), "signature": _b64(self.signer.sign(key))}


@dataclass
class Member:
    """Somebody who registered at *host* with *device*."""

    host: RunningHost
    name: str
    grant: dict[str, Any]
    device: Device

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Call a door with the token."""
        return await self.host.ask(method, path, headers=bearer(self.grant["token"]), **options)

    async def bundle(self, name: str, query: str = "") -> Answer:
        """Take somebody's bundle."""
        return await self.ask("GET", f"/v1/keys/{name}{query}")

    async def count(self) -> dict[str, Any]:
        """Return what the server holds."""
        answer = await self.ask("GET", "/v1/keys/count")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json()
        return found


async def register(host: RunningHost, name: str, **members: Any) -> Answer:
    """POST a registration with *members* beside name and password."""
    body = {"username": name, "password": PASSWORD, **members}
    return await host.ask("POST", "/auth/register", json=body)


async def join(host: RunningHost, name: str, one_time: int = 3, **more: Any) -> Member:
    """Register somebody with keys; fail when it is refused."""
    device = Device()
    answer = await register(host, name, **{**device.upload(one_time), **more})
    assert answer.status == 200, answer.body
    return Member(host, name, answer.json(), device)


def fingerprint(prekey: dict[str, Any]) -> str:
    """Return what tells one key from another."""
    return hashlib.sha256(prekey["key"].encode()).hexdigest()[:12]


def _b64(data: bytes) -> str:
    return b64encode(data).decode()
