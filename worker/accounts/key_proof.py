"""
Proof of a key pair: its owner signs a challenge (facts/seeds.md §2.000, X11).

What is signed is the ASCII text of the challenge, with ML-DSA-87 (FIPS 204, no context) or Ed25519
(RFC 8032); which one the length of the key says. A user hash is 0x01 and the SHA3-512 of the key,
in hexadecimal. A challenge holds a minute, once, for one purpose; it is sealed, so that nothing is
kept until it is used, and used up also by a signature that turns out wrong.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from worker.accounts.model import Members, Way
from worker.codec import open_cursor, seal_cursor
from worker.env import Env
from worker.identity.once import spend
from worker.limits import CHALLENGE_SECONDS

Algorithm = Literal["ML-DSA-87", "Ed25519"]
_KEY_BYTES: Final[dict[int, Algorithm]] = {2592: "ML-DSA-87", 32: "Ed25519"}
_SIGNATURE_BYTES: Final[dict[int, Algorithm]] = {4627: "ML-DSA-87", 64: "Ed25519"}
# A key that nobody has: judging by it takes as long as by a real one.
_NOBODY: Final[dict[Algorithm, bytes]] = {"ML-DSA-87": bytes(2592), "Ed25519": bytes(32)}
_USER_HASH = re.compile(r"(?:u_|(?:\\x|0x)?01)([0-9a-f]{128})", re.ASCII)
_PURPOSE: Final = "key-challenge"


@dataclass(frozen=True, slots=True)
class Proof:
    """
    What a caller shows: a *user_hash* with or without its *key* (b"": to be looked up).

    *signature* is over the challenge that *challenge_id* names.
    """

    user_hash: str
    key: bytes
    challenge_id: str
    signature: bytes

    @property
    def way(self) -> Way:
        """The way in that it proves, if it holds; the key is its secret."""
        return Way("pq_key", [("", self.user_hash)], base64.b64encode(self.key).decode())


def challenge(env: Env, account_id: str = "") -> dict[str, Any]:
    """Return a new challenge: to link a key to an account, or (without one) to sign in."""
    text = env.tools.random_bytes(32).hex()
    until = int(env.tools.now()) + CHALLENGE_SECONDS
    key = env.settings.session_key.reveal()
    return {
        "challenge_id": seal_cursor(key, _PURPOSE, [text, until, account_id]),
        "challenge": text,
        "expires_in": CHALLENGE_SECONDS,
    }


def user_hash(key: bytes) -> str:
    """Return the user hash of a public key: 130 hexadecimal digits."""
    return "01" + hashlib.sha3_512(key).hexdigest()


def read_proof(members: Members, *, needs_key: bool) -> Proof:
    """Return the proof in a body; what will not do becomes faults of *members* (see `done`)."""
    key = _bytes(members, "sign_pkey", _KEY_BYTES, needed=needs_key)
    signature = _bytes(members, "signature", _SIGNATURE_BYTES, needed=True)
    named = members.text("alg", needed=False)
    algorithm = _SIGNATURE_BYTES.get(len(signature))
    if key and signature and _KEY_BYTES[len(key)] != algorithm:
        members.fault("signature", "format", "The signature is of another kind than the key.")
    if named and signature and named != algorithm:
        members.fault("alg", "enum", "alg is ML-DSA-87 or Ed25519, as the key and the signature.")
    shown = _hash_of(members, key) if not needs_key else user_hash(key)
    return Proof(shown, key, members.text("challenge_id"), signature)


def read_key(secret: str) -> bytes:
    """Return the key that a linked way keeps as its secret."""
    return base64.b64decode(secret)


async def holds(env: Env, proof: Proof, account_id: str = "") -> bool:
    """
    Spend the challenge and judge the signature by `proof.key`; without a key it cannot hold.

    The work is the same in every case but for a challenge that is none.
    """
    text = await _spend(env, proof.challenge_id, account_id)
    if not text:
        return False
    algorithm = _SIGNATURE_BYTES[len(proof.signature)]
    is_known = _KEY_BYTES.get(len(proof.key)) == algorithm
    key = proof.key if is_known else _NOBODY[algorithm]
    crypto = env.tools.crypto
    verify = crypto.verify_mldsa87 if algorithm == "ML-DSA-87" else crypto.verify_ed25519
    return await verify(key, text.encode(), proof.signature) and is_known


async def _spend(env: Env, challenge_id: str, account_id: str) -> str:
    """Return the text of a challenge that was made for this and not used before, or ""."""
    try:
        key = env.settings.session_key.reveal()
        text, until, made_for = open_cursor(key, _PURPOSE, challenge_id)
    except ValueError:
        return ""
    if made_for != account_id or env.tools.now() >= until:
        return ""
    return str(text) if await spend(env, f"{_PURPOSE}:{text}", until) else ""


def _hash_of(members: Members, key: bytes) -> str:
    """Return the user hash that is shown, by itself or by its key."""
    named = members.text("user_hash", needed=False)
    if not named:
        if not key:
            members.fault("user_hash", "required", "user_hash or sign_pkey is needed.")
        return user_hash(key)
    found = _USER_HASH.fullmatch(named.lower())
    if found is None:
        members.fault("user_hash", "format", "user_hash has 130 hexadecimal digits.")
        return ""
    if key and user_hash(key) != f"01{found[1]}":
        members.fault("user_hash", "mismatch", "user_hash is not that of sign_pkey.")
    return f"01{found[1]}"


def _bytes(members: Members, name: str, sizes: dict[int, Algorithm], *, needed: bool) -> bytes:
    """Return a member of base64 (padding may be left out) that has one of *sizes*, or b""."""
    text = members.text(name, needed=needed)
    if not text:
        return b""
    try:
        data = base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        data = b""
    if len(data) in sizes:
        return data
    lengths = " or ".join(map(str, sizes))
    members.fault(name, "format", f"{name} must be base64 of {lengths} bytes.")
    return b""
