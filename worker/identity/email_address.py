"""
E-mail addresses: one spelling each, found by a keyed hash, never stored.

The spelling is that of NFC, lower case in both parts, domains in ASCII (IDNA). Local parts are
lower case too, although RFC 5321 §2.4 lets a server tell `Bob` from `bob`: none in use does, and
mail goes to the spelling that is hashed, so whoever proves an address reads the mail of exactly
that one. Quoted local parts, address literals, and domains whose IDNA form is another name to
other programs (`ß`) are refused. What is left has no character that means anything to a header.

The hash is HMAC-SHA256 under a key of its own (facts/seeds.md X24): the first key of the ring
hashes, the others still find, so that keys can be changed.
"""

import hashlib
import hmac
import re
import unicodedata
from typing import Final

from worker.codec import b64url
from worker.setting_kinds import Keyring

ADDRESS_CHARS: Final = 254  # RFC 5321 §4.5.3.1.3, without the brackets
_LOCAL_CHARS: Final = 64
RULE: Final = "This is not an e-mail address that mail can be sent to."

# RFC 5322 §3.2.3: a dot-atom.
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# Two labels at least, and the last is no number: no machine of ours, no address literal.
_DOMAIN = re.compile(rf"({_LABEL}\.)+(?!\d+\Z){_LABEL}", re.ASCII)

_DOTLESS: Final = ("gmail.com", "googlemail.com")

Hashes = list[list[str]]
"""Pairs (id of the key, hash), the present key's first; JSON-like, because links carry them."""


def normalise(typed: str) -> str:
    """Return the one spelling of *typed*; raises ValueError (with `RULE`) when there is none."""
    # Folding may change the length; nothing longer is worth folding.
    if len(typed) > 2 * ADDRESS_CHARS:
        raise ValueError(RULE)
    folded = unicodedata.normalize("NFC", typed.strip(" \t").lower())
    local, at, domain = folded.rpartition("@")
    if not at or len(local) > _LOCAL_CHARS or not _LOCAL.fullmatch(local):
        raise ValueError(RULE)
    address = f"{local}@{_ascii(domain)}"
    if len(address) > ADDRESS_CHARS:
        raise ValueError(RULE)
    return address


def mailbox(address: str) -> str:
    """
    Return what stands for the mailbox of a normalised *address*, however it is spelt: for counting.

    Most servers deliver `ada+shop@` to `ada@`; Gmail reads no dots. Where that is not so, two
    mailboxes are counted as one, which costs them nothing but some minutes.
    """
    local, _, domain = address.rpartition("@")
    bare = local.partition("+")[0] or local
    if domain in _DOTLESS:
        return f"{bare.replace('.', '')}@{_DOTLESS[0]}"
    return f"{bare}@{domain}"


def hashes(keys: Keyring, address: str) -> Hashes:
    """Return the hashes of a normalised *address* under every key."""
    ids = [keys.current, *(key_id for key_id in keys.keys if key_id != keys.current)]
    return [[key_id, _hash(keys, key_id, address)] for key_id in ids]


def _hash(keys: Keyring, key_id: str, address: str) -> str:
    key = keys.keys[key_id].reveal()
    return b64url(hmac.new(key, address.encode(), hashlib.sha256).digest())


def _ascii(domain: str) -> str:
    """Return a domain in ASCII; only names that come back from there as they went are taken."""
    if len(domain) > ADDRESS_CHARS:
        raise ValueError(RULE)
    if not domain.isascii():
        try:
            there = domain.encode("idna").decode("ascii")
            back = there.encode("ascii").decode("idna")
        except UnicodeError:
            raise ValueError(RULE) from None
        if back != domain:
            raise ValueError(RULE)
        domain = there
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(RULE)
    return domain
