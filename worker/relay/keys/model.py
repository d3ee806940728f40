"""
Prekeys as values, and as clients send them: judged here, so that the store holds what fits.

Names follow the seed's clients (identity_key, registration_id, signed_pre_key, one_time_pre_keys);
PQXDH adds kyber_pre_keys and last_resort_kyber_pre_key. Keys are libsignal's serialisations: a type
byte and the key, in this one form: a key that lost its end would else pass for one without a type.
Keys and signatures are base64 of either alphabet, with or without padding; here and in the store
they are plain base64 with padding, which everybody's decoder reads.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from worker.codec import unb64_either
from worker.env import Tools
from worker.errors import BadRequest
from worker.limits import ERRORS_IN_ANSWER
from worker.relay.keys.xeddsa import KEY_BYTES, SIGNATURE_BYTES, is_usable, verify

# One-time prekeys of a kind in one call (facts/seeds.md 2.004).
PREKEYS_PER_CALL = 100
# The end of a key in base64, 24 bytes that its maker drew: whoever has two keys with one end has
# the same key twice. It is what stays of a key that was given out.
KEY_END_CHARS = 32

T = TypeVar("T")

_NUMBER_MAX: Final = 2**32 - 1
_EC_TYPE: Final = b"\x05"
# Kyber-1024 and its standard form, ML-KEM-1024.
_KYBER_TYPES: Final = (b"\x08", b"\x0a")
_KYBER_BYTES: Final = 1569
_RULE: Final = {
    "ec": f"must be base64 of a Curve25519 key: 05 and {KEY_BYTES} bytes",
    "kyber": f"must be base64 of a Kyber-1024 key: 08 and {_KYBER_BYTES - 1} bytes",
}


@dataclass(frozen=True, slots=True)
class Prekey:
    """One public prekey; *signature* where its kind is signed."""

    id: int
    key: str
    signature: str | None = None

    @property
    def end(self) -> str:
        """What tells this key from others, whatever its id and the name of its type."""
        return self.key[-KEY_END_CHARS:]


@dataclass(frozen=True, slots=True)
class Upload:
    """What a call uploads; None for what it does not name. An empty list is a list of none."""

    identity_key: str | None = None
    registration_id: int | None = None
    signed: Prekey | None = None
    last_resort: Prekey | None = None
    one_time: tuple[Prekey, ...] | None = None
    kyber: tuple[Prekey, ...] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it names all that a first upload needs, and so stands for all there is."""
        needed = (self.identity_key, self.registration_id, self.signed, self.one_time)
        return None not in needed

    def check_complete(self) -> None:
        """Raise `BadRequest` unless others can begin a session with this alone (seed US1-3)."""
        needed = {
            "identity_key": self.identity_key,
            "registration_id": self.registration_id,
            "signed_pre_key": self.signed,
            "one_time_pre_keys": self.one_time or None,
        }
        missing = [
            _fault(name, "required", "is missing")
            for name, value in needed.items()
            if value is None
        ]
        if missing:
            raise BadRequest("A new identity needs all of these.", errors=missing)


@dataclass(frozen=True, slots=True)
class LastingKeys:
    """
    The lasting part of somebody's keys; times in milliseconds since the epoch.

    *changed_at*: when the identity key changed, as long as the inbox has not been told.
    """

    key: str
    registration_id: int
    signed: Prekey
    last_resort: Prekey | None
    updated_at: int
    changed_at: int | None


@dataclass(frozen=True, slots=True)
class Bundle:
    """
    What a fetch gives; *left* one-time prekeys of Curve25519 stay behind.

    *wait*: seconds until whoever fetches has a share of them again, 0 while there is some left.
    """

    identity: LastingKeys
    one_time: Prekey | None
    kyber: Prekey | None
    left: int
    wait: float = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many one-time prekeys are left."""

    one_time: int
    kyber: int


def parse(body: Any) -> Upload:
    """Return what *body* uploads; raises `BadRequest` naming each field that is wrong."""
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    reader = _Reader(body)
    upload = Upload(
        identity_key=reader.member("identity_key", reader.ec_key),
        registration_id=reader.member("registration_id", reader.number),
        signed=reader.member("signed_pre_key", reader.signed),
        last_resort=reader.member("last_resort_kyber_pre_key", reader.kyber),
        one_time=reader.several("one_time_pre_keys", reader.one_time),
        kyber=reader.several("kyber_pre_keys", reader.kyber),
    )
    reader.apart("signed_pre_key", upload.signed, upload.one_time)
    reader.apart("last_resort_kyber_pre_key", upload.last_resort, upload.kyber)
    if reader.faults:
        faults = reader.faults[:ERRORS_IN_ANSWER]
        raise BadRequest("The keys cannot be used as sent.", errors=faults)
    return upload


async def check_signatures(upload: Upload, identity_key: str, tools: Tools) -> None:
    """Raise `BadRequest` unless *identity_key* signed every signed prekey of *upload*."""
    signer = b64decode(identity_key)[1:]
    signed = [("signed_pre_key", upload.signed), ("last_resort_kyber_pre_key", upload.last_resort)]
    signed += [(f"kyber_pre_keys[{at}]", prekey) for at, prekey in enumerate(upload.kyber or ())]
    faults = []
    for name, prekey in signed:
        if prekey is None:
            continue
        key, signature = b64decode(prekey.key), b64decode(prekey.signature or "")
        if not await verify(tools.crypto, signer, key, signature):
            faults.append(_fault(f"{name}.signature", "signature", "is not by the identity key"))
        # A hundred signatures take tens of milliseconds: others have their turns in between.
        await tools.pause(0)
    if faults:
        raise BadRequest("A signature does not hold.", errors=faults)


def digest(prekeys: Iterable[Prekey]) -> str:
    """Return what tells one set of prekeys from another: SHA-256 of a line for each, by ids."""
    lines = (f"{one.id} {one.key}\n" for one in sorted(prekeys, key=lambda one: one.id))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest_lasting(keys: LastingKeys) -> str:
    """Return the same of the lasting keys: a line for each, in this order."""
    lines = f"identity_key {keys.key}\nregistration_id {keys.registration_id}\n"
    lines += f"signed_pre_key {keys.signed.id} {keys.signed.key}\n"
    if (last := keys.last_resort) is not None:
        lines += f"last_resort_kyber_pre_key {last.id} {last.key}\n"
    return hashlib.sha256(lines.encode()).hexdigest()


class _Reader:
    """Reads members of the body, and gathers what is wrong with them; faulty ones are left out."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self.faults: list[dict[str, str]] = []

    def member(self, name: str, read: Callable[[str, Any], T]) -> T | None:
        """Return what *read* makes of a member, None when it is not there."""
        value = self._body.get(name)
        return None if value is None else read(name, value)

    def several(self, name: str, read: Callable[[str, Any], Prekey]) -> tuple[Prekey, ...] | None:
        """Return the prekeys of a list that is at most so long, and has no id and no key twice."""
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > PREKEYS_PER_CALL:
            self._wrong(name, "length", f"must be a list of at most {PREKEYS_PER_CALL} prekeys")
            return ()
        before = len(self.faults)
        found = tuple(read(f"{name}[{at}]", one) for at, one in enumerate(value))
        if len(self.faults) == before:
            for what, values in (
                ("an id", {prekey.id for prekey in found}),
                ("a key", {prekey.end for prekey in found}),
            ):
                if len(values) < len(found):
                    self._wrong(name, "unique", f"names {what} twice")
        return found

    def apart(self, name: str, lasting: Prekey | None, once: tuple[Prekey, ...] | None) -> None:
        """See that a key which is given to everybody is none of those that are given once."""
        if lasting is not None and lasting.key and lasting.end in {one.end for one in once or ()}:
            self._wrong(f"{name}.key", "unique", "is a one-time prekey too")

    def number(self, name: str, value: Any) -> int:
        """Return an unsigned 32-bit number."""
        if type(value) is not int or not 0 <= value <= _NUMBER_MAX:
            self._wrong(name, "range", f"must be a whole number from 0 to {_NUMBER_MAX}")
            return 0
        return value

    def ec_key(self, name: str, value: Any) -> str:
        """Return a Curve25519 key, with its type byte."""
        key = _bytes(value)
        if key[:1] != _EC_TYPE or not is_usable(key[1:]):
            self._wrong(name, "key", _RULE["ec"])
        return _text(key)

    def kyber_key(self, name: str, value: Any) -> str:
        """Return a Kyber key."""
        key = _bytes(value)
        if len(key) != _KYBER_BYTES or key[:1] not in _KYBER_TYPES:
            self._wrong(name, "key", _RULE["kyber"])
        return _text(key)

    def signature(self, name: str, value: Any) -> str:
        """Return a signature."""
        signature = _bytes(value)
        if len(signature) != SIGNATURE_BYTES:
            self._wrong(name, "signature", f"must be base64 of {SIGNATURE_BYTES} bytes")
        return _text(signature)

    def one_time(self, name: str, value: Any) -> Prekey:
        """Return an unsigned Curve25519 prekey."""
        return self._prekey(name, value, self.ec_key, is_signed=False)

    def signed(self, name: str, value: Any) -> Prekey:
        """Return a signed Curve25519 prekey."""
        return self._prekey(name, value, self.ec_key, is_signed=True)

    def kyber(self, name: str, value: Any) -> Prekey:
        """Return a Kyber prekey; all of them are signed."""
        return self._prekey(name, value, self.kyber_key, is_signed=True)

    def _prekey(
        self, name: str, value: Any, read_key: Callable[[str, Any], str], *, is_signed: bool
    ) -> Prekey:
        if not isinstance(value, dict):
            self._wrong(name, "type", "must be an object with id and key")
            return Prekey(0, "")
        return Prekey(
            self.number(f"{name}.id", value.get("id")),
            read_key(f"{name}.key", value.get("key")),
            self.signature(f"{name}.signature", value.get("signature")) if is_signed else None,
        )

    def _wrong(self, name: str, code: str, message: str) -> None:
        self.faults.append(_fault(name, code, message))


def _fault(name: str, code: str, message: str) -> dict[str, str]:
    return {"field": name, "error_code": code, "message": message}


def _bytes(value: Any) -> bytes:
    """Return what base64 *value* writes; nothing for what is no base64."""
    try:
        return unb64_either(value) if isinstance(value, str) else b""
    except ValueError:
        return b""


def _text(data: bytes) -> str:
    return b64encode(data).decode()
