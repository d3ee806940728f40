"""
What one machine keeps: identity, contacts, profile and the backups it has seen.

One JSON file in a folder of mode 0700, replaced whole. It holds the identity's private key, as
every messenger's device does; never the backup's password or anything derived from it.
"""

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from clients.python.backup.errors import BackupError, NotSetUp, StateBusy, StateDamaged
from clients.python.backup.keys import Cost
from clients.python.backup.model import (
    Contact,
    IdentityPair,
    Payload,
    Profile,
    contact_id,
    in_order,
)
from clients.python.private_folder import PrivateFolder

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """
    The newest backup this machine saw on a server; *version* is the server's word for it.

    *sha256* is "" after this machine deleted it: generations go on, and its absence is no news.
    """

    version: int
    generation: int
    created_at_ms: int
    sha256: str


@dataclass(slots=True)
class Machine:
    """The state of one machine. *seen* is by server address; *cost* is the calibrated one."""

    identity: IdentityPair | None = None
    contacts: tuple[Contact, ...] = ()
    profile: Profile = field(default_factory=Profile)
    seen: dict[str, Seen] = field(default_factory=dict)
    cost: Cost | None = None

    def payload(self, generation: int, now_ms: int) -> Payload:
        """Return what a backup made at *now_ms* holds; raises `NotSetUp` without an identity."""
        if self.identity is None:
            raise NotSetUp("This machine has no identity.")
        return Payload(generation, now_ms, self.identity, self.contacts, self.profile)

    def keep_contact(self, typed: str, **changes: str) -> None:
        """
        Add the contact of the id that somebody *typed*, or change its `name` and `note`.

        Raises `InvalidContact`.
        """
        old = self._contact(contact_id(typed))
        self._put(replace(old, **changes, updated_at_ms=_after(old), deleted=False))

    def remove_contact(self, typed: str) -> bool:
        """Leave a mark in the place of a contact, so that no other machine brings it back."""
        old = self._contact(contact_id(typed))
        if not old.deleted:
            self._put(Contact(old.id, updated_at_ms=_after(old), deleted=True))
        return not old.deleted

    def keep_avatar(self, attachment_id: str, key: bytes) -> None:
        """Refer to an attachment of the server and its *key*; raises `InvalidContact`."""
        profile = Profile(attachment_id, key, _after(self.profile))
        profile.check()
        self.profile = profile

    def _contact(self, name: str) -> Contact:
        absent = Contact(name, deleted=True)
        return next((contact for contact in self.contacts if contact.id == name), absent)

    def _put(self, changed: Contact) -> None:
        changed.check()
        others = (contact for contact in self.contacts if contact.id != changed.id)
        self.contacts = in_order([*others, changed])


def _after(old: Contact | Profile) -> int:
    """Return the time of a change: later than *old*, also when that came from a clock ahead."""
    return max(time.time_ns() // 1_000_000, old.updated_at_ms + 1)


class Home(PrivateFolder):
    """The folder of a machine. Its `alone` raises `StateBusy` and `StateDamaged`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "machine", StateDamaged, StateBusy)

    def load(self) -> Machine:
        """Return the machine; raises `NotSetUp` and `StateDamaged`."""
        text = self.read()
        if text is None:
            raise NotSetUp(f"{self.folder} holds no machine.")
        try:
            return _from_json(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, BackupError, RecursionError):
            raise StateDamaged(
                f"{self.file} is damaged. Move it away and restore this machine from its backup."
            ) from None

    def save(self, machine: Machine) -> None:
        """Replace the file whole, readable for its owner alone; raises `StateDamaged`."""
        text = json.dumps(_to_json(machine), indent=1, ensure_ascii=False)
        self.replace(text.encode())


def _to_json(machine: Machine) -> dict[str, Any]:
    key = machine.identity
    return {
        "format": _FORMAT,
        "identity": key
        and {
            "key_type": key.key_type,
            "public_key": key.public_key.hex(),
            "private_key": key.private_key.hex(),
        },
        "contacts": [asdict(contact) for contact in machine.contacts],
        "profile": {**asdict(machine.profile), "key": machine.profile.key.hex()},
        "seen": {url: asdict(seen) for url, seen in machine.seen.items()},
        "cost": machine.cost and asdict(machine.cost),
    }


def _from_json(told: dict[str, Any]) -> Machine:
    if told["format"] != _FORMAT:
        raise ValueError("unknown format")
    key = told["identity"]
    machine = Machine(
        key
        and IdentityPair(
            key["key_type"], bytes.fromhex(key["public_key"]), bytes.fromhex(key["private_key"])
        ),
        tuple(Contact(**contact) for contact in told["contacts"]),
        Profile(**{**told["profile"], "key": bytes.fromhex(told["profile"]["key"])}),
        {url: Seen(**seen) for url, seen in told["seen"].items()},
        told["cost"] and Cost(**told["cost"]),
    )
    if machine.identity is not None:
        machine.payload(1, 0).check()
    if machine.cost is not None:
        machine.cost.check()
    return machine
