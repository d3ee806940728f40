"""
What one machine keeps: identity, contacts, profile and the backups it has seen.

One JSON file in a folder of mode 0700, replaced whole. It holds the identity's private key, as
every messenger's device does; never the backup's password or anything derived from it.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.backup.errors import BackupError, NotSetUp, StateBusy, StateDamaged
from scripts.backup.keys import Cost
from scripts.backup.model import Contact, Identity, Payload, Profile

_FORMAT = 1
_FILE = "machine.json"
_LOCK = "machine.lock"


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

    identity: Identity | None = None
    contacts: tuple[Contact, ...] = ()
    profile: Profile = field(default_factory=Profile)
    seen: dict[str, Seen] = field(default_factory=dict)
    cost: Cost | None = None

    def payload(self, generation: int, now_ms: int) -> Payload:
        """Return what a backup made at *now_ms* holds; raises `NotSetUp` without an identity."""
        if self.identity is None:
            raise NotSetUp("This machine has no identity.")
        return Payload(generation, now_ms, self.identity, self.contacts, self.profile)


def default_home(environ: Mapping[str, str]) -> Path:
    """Return the folder by the XDG base directory rules."""
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if config.startswith("/") else Path.home() / ".config"
    return base / "edgekeep-backup"


class Home:
    """The folder of a machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether a machine was set up here."""
        return (self.folder / _FILE).exists()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes away from the folder; raises `StateBusy`, `StateDamaged`."""
        import fcntl

        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StateDamaged(f"{self.folder} cannot be used: {error.strerror}.") from None
        with os.fdopen(handle):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StateBusy(f"Another process uses {self.folder}.") from None
            yield

    def load(self) -> Machine:
        """Return the machine; raises `NotSetUp` and `StateDamaged`."""
        path = self.folder / _FILE
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise NotSetUp(f"{self.folder} holds no machine.") from None
        except OSError as error:
            raise StateDamaged(f"{path} cannot be read: {error.strerror}.") from None
        try:
            return _from_json(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, BackupError, RecursionError):
            raise StateDamaged(
                f"{path} is damaged. Move it away and restore this machine from its backup."
            ) from None

    def save(self, machine: Machine) -> None:
        """Replace the file whole, readable for its owner alone; raises `StateDamaged`."""
        path = self.folder / _FILE
        text = json.dumps(_to_json(machine), indent=1, ensure_ascii=False).encode()
        draft = None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes it 0600.
            handle, draft = tempfile.mkstemp(prefix=f".{_FILE}.", dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(handle)
            Path(draft).replace(path)
            draft = None
            _sync_folder(self.folder)
        except OSError as error:
            raise StateDamaged(f"{path} cannot be written: {error.strerror}.") from None
        finally:
            if draft is not None:
                Path(draft).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
        and Identity(
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
