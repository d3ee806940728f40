"""
Proof of possession of a key pair: its owner signs a challenge (facts/seeds.md §2.000, X11).

What is signed is the ASCII text of the challenge, with ML-DSA-87 (FIPS 204, no context) or Ed25519
(RFC 8032); which one the length of the key says. A user hash is 0x01 and the SHA3-512 of the key,
in hexadecimal. A challenge holds a minute, once, for one purpose; it is sealed, so that nothing is
kept until it is used, and used up also by a signature that turns out wrong.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from worker.codec import open_cursor, seal_cursor
from worker.crypto import Crypto, is_sound_ed25519
from worker.env import Env
from worker.identity import once

# A challenge for the owner of a key pair to sign (facts/seeds.md §2.000).
CHALLENGE_SECONDS = 60

Algorithm = Literal["ML-DSA-87", "Ed25519"]
KEY_BYTES: Final[dict[int, Algorithm]] = {2592: "ML-DSA-87", 32: "Ed25519"}
SIGNATURE_BYTES: Final[dict[int, Algorithm]] = {4627: "ML-DSA-87", 64: "Ed25519"}
# A key that nobody has: judging by it takes as long as by a real one.
_NOBODY: Final[dict[Algorithm, bytes]] = {"ML-DSA-87": bytes(2592), "Ed25519": bytes(32)}
_USER_HASH = re.compile(r"(?:u_|(?:\\x|0x)?01)([0-9a-f]{128})", re.ASCII)
_PURPOSE: Final = "key-challenge"


@dataclass(frozen=True, slots=True)
class Proof:
    """
    What a caller shows: a *user_hash* with or without its *key* (b"": to be looked up).

    *signature* is over the challenge that *challenge_id* names; it has one of `SIGNATURE_BYTES`.
    """

    user_hash: str
    key: bytes
    challenge_id: str
    signature: bytes


def challenge(env: Env, made_for: str = "") -> dict[str, Any]:
    """Return a new challenge for what *made_for* names: it proves nothing anywhere else."""
    text = env.tools.random_bytes(32).hex()
    until = int(env.tools.now()) + CHALLENGE_SECONDS
    key = env.settings.session_key.reveal()
    return {
        "challenge_id": seal_cursor(key, _PURPOSE, [text, until, made_for]),
        "challenge": text,
        "expires_in": CHALLENGE_SECONDS,
    }


def user_hash(key: bytes) -> str:
    """Return the user hash of a public key: 130 hexadecimal digits."""
    return "01" + hashlib.sha3_512(key).hexdigest()


def read_user_hash(text: str) -> str:
    """Return the user hash that *text* writes in any of its spellings (X01), or ""."""
    found = _USER_HASH.fullmatch(text.lower())
    return f"01{found[1]}" if found else ""


def is_sound(key: bytes) -> bool:
    """Whether a public key of either kind is one that somebody can have."""
    return KEY_BYTES.get(len(key)) != "Ed25519" or is_sound_ed25519(key)


async def holds(env: Env, proof: Proof, made_for: str = "") -> bool:
    """
    Spend the challenge and judge the signature by `proof.key`; without a key it cannot hold.

    The work is the same in every case but for a challenge that is none.
    """
    text = await spend(env, proof.challenge_id, made_for)
    return bool(text) and await verify(env.tools.crypto, proof.key, text, proof.signature)


async def spend(env: Env, challenge_id: str, made_for: str) -> str:
    """Return the text of a challenge that was made for this and not used before, or ""."""
    try:
        key = env.settings.session_key.reveal()
        text, until, named = open_cursor(key, _PURPOSE, challenge_id)
    except ValueError:
        return ""
    if named != made_for or env.tools.now() >= until:
        return ""
    return str(text) if await once.spend(env, f"{_PURPOSE}:{text}", until) else ""


async def verify(crypto: Crypto, key: bytes, text: str, signature: bytes) -> bool:
    """
    Whether *key* signed *text*.

    A key of another kind, or under which everybody can sign, costs the same and is never right.
    """
    algorithm = SIGNATURE_BYTES[len(signature)]
    is_known = KEY_BYTES.get(len(key)) == algorithm and is_sound(key)
    judged = key if is_known else _NOBODY[algorithm]
    judge = crypto.verify_mldsa87 if algorithm == "ML-DSA-87" else crypto.verify_ed25519
    return await judge(judged, text.encode(), signature) and is_known
