"""
What two machines know, as one: union of contacts, the newest wins (seed 1.001 §4.2).

Each choice is the higher of two under one total order, so merging is commutative, associative and
idempotent: machines that exchange backups in any order end with the same contacts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from clients.python.backup.model import Contact, Profile, in_order
from clients.python.backup.payload import contact_bytes, profile_bytes


@dataclass(frozen=True, slots=True)
class Clash:
    """Two contents of the same moment for one contact: *kept* was taken, *dropped* was not."""

    kept: Contact
    dropped: Contact


@dataclass(frozen=True, slots=True)
class Merged:
    """The contacts of both, in order, and where a person should look."""

    contacts: tuple[Contact, ...]
    clashes: tuple[Clash, ...] = ()


def merge_contacts(ours: Iterable[Contact], theirs: Iterable[Contact]) -> Merged:
    """
    Return the union by id; of two with one id the newer, whatever it says.

    At equal times with different content: kept over removed, then the higher encoding. That is a
    clash, and told.
    """
    chosen = {contact.id: contact for contact in ours}
    clashes = []
    for contact in theirs:
        known = chosen.setdefault(contact.id, contact)
        if known == contact:
            continue
        low, high = sorted((known, contact), key=_rank)
        chosen[contact.id] = high
        if low.updated_at_ms == high.updated_at_ms:
            clashes.append(Clash(high, low))
    return Merged(in_order(chosen.values()), tuple(clashes))


def merge_profiles(ours: Profile, theirs: Profile) -> Profile:
    """Return the newer of two profiles; at equal times the one with an avatar."""
    return max(ours, theirs, key=_profile_rank)


def _rank(contact: Contact) -> tuple[int, bool, bytes]:
    return contact.updated_at_ms, not contact.deleted, contact_bytes(contact)


def _profile_rank(profile: Profile) -> tuple[int, bool, bytes]:
    return profile.updated_at_ms, bool(profile.attachment_id), profile_bytes(profile)
