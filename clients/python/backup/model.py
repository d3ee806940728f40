"""What a backup holds, as values, with the limits of the schema (payload.proto)."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from clients.python.backup.errors import InvalidContact

# JavaScript's largest exact whole number.
HIGHEST_NUMBER = 2**53 - 1
# Curve25519 as libsignal serialises it.
CURVE25519 = 1
_CURVE25519_BYTES = (33, 32)
_CURVE25519_MARK = 5
_MOST_KEY_BYTES = 8192
# In UTF-8: characters are counted differently in other languages.
_MOST_ID_BYTES = 512
_MOST_NAME_BYTES = 1024
_MOST_NOTE_BYTES = 16 * 1024
PROFILE_KEY_BYTES = 32

_ATTACHMENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# Separators (spaces, line ends) and everything that is not a visible character.
_NOT_IN_ID = ("C", "Z")


@dataclass(frozen=True, slots=True)
class IdentityPair:
    """The key pair that is the person. The bytes are opaque; *key_type* says how to read them."""

    key_type: int
    public_key: bytes
    private_key: bytes = field(repr=False)

    def check(self) -> None:
        """Raise `InvalidContact` when the keys cannot be of their type."""
        sizes = (len(self.public_key), len(self.private_key))
        if not 1 <= self.key_type <= 0xFFFF or not all(1 <= n <= _MOST_KEY_BYTES for n in sizes):
            raise InvalidContact("The identity has no keys, or keys that are too long.")
        if self.key_type == CURVE25519 and (
            sizes != _CURVE25519_BYTES or self.public_key[0] != _CURVE25519_MARK
        ):
            raise InvalidContact("The identity's keys are no Curve25519 keys.")


@dataclass(frozen=True, slots=True)
class Contact:
    """A friend. *id* is the key; a *deleted* one is a tombstone and has no name and note."""

    id: str
    name: str = ""
    note: str = ""
    updated_at_ms: int = 0
    deleted: bool = False

    def check(self) -> None:
        """Raise `InvalidContact` when the schema has no room for it."""
        # Its form is judged where it is typed: Unicode's tables differ between readers.
        if not 1 <= _size(self.id) <= _MOST_ID_BYTES:
            raise InvalidContact(f"A contact's id has 1 to {_MOST_ID_BYTES} bytes.")
        if _size(self.name) > _MOST_NAME_BYTES or _size(self.note) > _MOST_NOTE_BYTES:
            raise InvalidContact(
                f"A contact's name has at most {_MOST_NAME_BYTES} bytes and its note "
                f"{_MOST_NOTE_BYTES}."
            )
        if self.deleted and (self.name or self.note):
            raise InvalidContact("A removed contact still has a name or a note.")
        _check_moment(self.updated_at_ms)


@dataclass(frozen=True, slots=True)
class Profile:
    """The current avatar: an attachment of the server and its key; an empty id means none."""

    attachment_id: str = ""
    key: bytes = field(default=b"", repr=False)
    updated_at_ms: int = 0

    def check(self) -> None:
        """Raise `InvalidContact` when the reference cannot be used."""
        _check_moment(self.updated_at_ms)
        if not self.attachment_id:
            if self.key:
                raise InvalidContact("The profile has a key and no attachment.")
            return
        if not _ATTACHMENT_ID.fullmatch(self.attachment_id) or len(self.key) != PROFILE_KEY_BYTES:
            raise InvalidContact("The profile's attachment id or key has a wrong form.")


@dataclass(frozen=True, slots=True)
class Payload:
    """One backup. *generation* counts backups, 1 and up; contacts are sorted by id."""

    generation: int
    created_at_ms: int
    identity: IdentityPair
    contacts: tuple[Contact, ...] = ()
    profile: Profile = Profile()

    def check(self) -> None:
        """Raise `InvalidContact` when any part breaks the schema's limits."""
        if not 1 <= self.generation <= HIGHEST_NUMBER:
            raise InvalidContact("The backup's generation is out of range.")
        _check_moment(self.created_at_ms)
        self.identity.check()
        self.profile.check()
        for contact in self.contacts:
            contact.check()
        ids = [contact.id for contact in self.contacts]
        if ids != sorted(set(ids)):
            raise InvalidContact("The contacts are not in order, or one stands twice.")

    def same_content(self, other: "Payload") -> bool:
        """Whether *other* would restore the same, whenever and however often it was made."""
        return replace(self, generation=1, created_at_ms=0) == replace(
            other, generation=1, created_at_ms=0
        )


def contact_id(text: str) -> str:
    """
    Return what a person typed as the id of a contact: NFKC and lower case (seeds X41).

    Raises `InvalidContact` for blanks, control characters and more than 512 bytes.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text.strip()).lower())
    unfit = any(unicodedata.category(character)[0] in _NOT_IN_ID for character in folded)
    if unfit or not 1 <= _size(folded) <= _MOST_ID_BYTES:
        raise InvalidContact(
            "A contact is a username or a UUID: visible characters without blanks, at most "
            f"{_MOST_ID_BYTES} bytes."
        )
    return folded


def in_order(contacts: Iterable[Contact]) -> tuple[Contact, ...]:
    """Return *contacts* sorted by id; code point order is that of the UTF-8 bytes."""
    return tuple(sorted(contacts, key=lambda contact: contact.id))


def _check_moment(milliseconds: int) -> None:
    if not 0 <= milliseconds <= HIGHEST_NUMBER:
        raise InvalidContact("A time is out of range.")


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidContact("A contact holds characters that are no Unicode text.") from None
