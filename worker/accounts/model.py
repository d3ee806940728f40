"""Accounts as values: roles, ways in, and what the doors take, each member checked for its type."""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worker.codec import iso_time, unb64
from worker.env import Env
from worker.errors import BadRequest
from worker.identity.caller import pseudonym
from worker.identity.tokens import AUDIENCES, Audience
from worker.limits import KIB
from worker.possession import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    Algorithm,
    Proof,
    is_sound,
    read_user_hash,
    user_hash,
)
from worker.web import Request, parse_json

# Sign-ins and registrations: a password of 1024 characters, each written as JSON escapes.
SIGN_IN_BYTES = 16 * KIB
LABEL_CHARS = 100

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

Fault = dict[str, str]
Role = Literal["owner", "participant", "admin"]
ROLES: tuple[Role, ...] = ("owner", "participant", "admin")
Kind = Literal["password", "oidc", "email", "pq_key"]


@dataclass(frozen=True, slots=True)
class Credential:
    """Who has a username, and the hash of the password."""

    account_id: str
    secret: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class Way:
    """
    A way in that was proved. *spellings* are pairs (issuer, subject), the one to keep first.

    *secret* is what a session is begun with: while it stands, the way does
    (`worker.identity.sessions`).
    """

    kind: Kind
    spellings: Sequence[Sequence[str]]
    secret: str


@dataclass(frozen=True, slots=True)
class HeldWay:
    """A way in as an account has it; *secret* is a password's hash, a key, or an address's hash."""

    account_id: str
    kind: Kind
    issuer: str
    subject: str
    secret: str
    created_at: int

    @property
    def hint(self) -> str | None:
        """What tells one way from another: of an address only the hash is kept, so nothing."""
        if self.kind == "password":
            return self.subject
        if self.kind == "oidc":
            return self.issuer
        if self.kind == "pq_key":
            return f"{self.subject[:10]}…{self.subject[-4:]}"
        return None

    def shown(self, env: Env) -> dict[str, Any]:
        """Return it as its owner sees it."""
        return {
            "id": self.id(env),
            "kind": self.kind,
            "hint": self.hint,
            "created_at": iso_time(self.created_at / 1000),
        }

    def id(self, env: Env) -> str:
        """Return its name outside: neither its subject nor to be guessed from it."""
        return pseudonym(env, "\0".join(("identity", self.kind, self.issuer, self.subject)))


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A request to sign up or in, as typed: whether name and password will do is judged later.

    *cookies*: a page asks, so the tokens go into cookies. *device_id* is a UUID or "".
    """

    username: str
    password: str
    cookies: bool
    audience: Audience
    device_id: str
    label: str


class Members:
    """The members of a body; the ones nobody asks for are ignored, faults are gathered."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self._faults: list[Fault] = []

    @classmethod
    async def of(
        cls, request: Request, *, needed: bool = True, limit: int = SIGN_IN_BYTES
    ) -> "Members":
        """Read the body of *request*: a JSON object, or nothing unless it is *needed*."""
        data = await request.read(limit)
        if not data and not needed:
            return cls({})
        body = parse_json(data)
        if not isinstance(body, dict):
            raise BadRequest("The body must be a JSON object.")
        return cls(body)

    def text(self, name: str, *, needed: bool = True) -> str:
        """Return a string member; "" where it is not needed and not there."""
        value = self.body.get(name)
        if isinstance(value, str):
            return value
        if value is not None:
            self.fault(name, "type", f"{name} must be a string.")
        elif needed:
            self.fault(name, "required", f"{name} is missing.")
        return ""

    def flag(self, name: str) -> bool:
        """Return a boolean member, False when it is not there."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, bool):
            self.fault(name, "type", f"{name} must be true or false.")
        return value is True

    def audience(self, default: Audience | None) -> Audience:
        """Return the member `audience`; without a *default* it is needed."""
        value = self.body.get("audience", default)
        for known in AUDIENCES:
            if value == known:
                return known
        self.fault("audience", "enum", f"audience must be one of {', '.join(AUDIENCES)}.")
        return "api"

    def device_id(self) -> str:
        """Return the member `device_id`: a UUID in lower case, or ""."""
        value = self.text("device_id", needed=False).lower()
        if value and not _UUID.fullmatch(value):
            self.fault("device_id", "format", "device_id must be a UUID.")
        return value

    def label(self) -> str:
        """Return the member `label`: what the client calls itself, or ""."""
        value = self.text("label", needed=False)
        if len(value) > LABEL_CHARS or not is_plain(value):
            self.fault(
                "label", "format", f"label has at most {LABEL_CHARS} characters and one line."
            )
        return value

    def fault(self, name: str, code: str, message: str) -> None:
        """Note that a member will not do."""
        self._faults.append(fault(name, code, message))

    def done(self) -> None:
        """Raise `BadRequest` with all the faults that were found."""
        if self._faults:
            raise BadRequest("Some members of the body will not do.", errors=self._faults)


def read_entry(members: Members, audience: Audience, *, named: bool = True) -> Entry:
    """
    Return what a sign-up or sign-in asks for; raises `BadRequest` with every fault.

    Without *named* it is by another way than a username and a password, which are then "".
    """
    entry = Entry(
        members.text("username") if named else "",
        members.text("password") if named else "",
        members.flag("cookies"),
        members.audience(audience),
        members.device_id(),
        members.label(),
    )
    if entry.cookies and entry.audience != "api":
        members.fault("audience", "enum", "With cookies the audience is api.")
    members.done()
    return entry


def read_proof(members: Members, *, needs_key: bool) -> Proof:
    """Return the proof in a body; what will not do becomes faults of *members* (see `done`)."""
    key = _bytes(members, "sign_pkey", KEY_BYTES, needed=needs_key)
    if key and not is_sound(key):
        members.fault("sign_pkey", "weak_key", "Under this key everybody could sign.")
    signature = _bytes(members, "signature", SIGNATURE_BYTES, needed=True)
    named = members.text("alg", needed=False)
    algorithm = SIGNATURE_BYTES.get(len(signature))
    if key and signature and KEY_BYTES[len(key)] != algorithm:
        members.fault("signature", "format", "The signature is of another kind than the key.")
    if named and signature and named != algorithm:
        members.fault("alg", "enum", "alg is ML-DSA-87 or Ed25519, as the key and the signature.")
    shown = user_hash(key) if needs_key else _hash_of(members, key)
    return Proof(shown, key, members.text("challenge_id"), signature)


def way_of(proof: Proof) -> Way:
    """Return the way in that *proof* proves, if it holds; the key is its secret."""
    return Way("pq_key", [("", proof.user_hash)], b64encode(proof.key).decode())


def _hash_of(members: Members, key: bytes) -> str:
    """Return the user hash that is shown, by itself or by its key."""
    named = members.text("user_hash", needed=False)
    if not named:
        if not key:
            members.fault("user_hash", "required", "user_hash or sign_pkey is needed.")
        return user_hash(key)
    found = read_user_hash(named)
    if not found:
        members.fault("user_hash", "format", "user_hash has 130 hexadecimal digits.")
    elif key and user_hash(key) != found:
        members.fault("user_hash", "mismatch", "user_hash is not that of sign_pkey.")
    return found


def _bytes(members: Members, name: str, sizes: dict[int, Algorithm], *, needed: bool) -> bytes:
    """Return a member of base64 (padding may be left out) that has one of *sizes*, or b""."""
    text = members.text(name, needed=needed)
    if not text:
        return b""
    try:
        data = unb64(text)
    except ValueError:
        data = b""
    if len(data) in sizes:
        return data
    lengths = " or ".join(map(str, sizes))
    members.fault(name, "format", f"{name} must be base64 of {lengths} bytes.")
    return b""


def fault(name: str, code: str, message: str) -> Fault:
    """Return one field error: which member, which rule, and a sentence for a person."""
    return {"field": name, "error_code": code, "message": message}


def is_plain(text: str) -> bool:
    """Whether *text* can be stored and shown: no control characters, no half surrogate pairs."""
    return not any(
        ord(one) < 32 or 127 <= ord(one) < 160 or 0xD800 <= ord(one) < 0xE000 for one in text
    )
