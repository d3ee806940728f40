"""What the demo keeps of one account: secrets, tokens, and whose identity key it has seen."""

import contextlib
import fcntl
import json
import os
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from scripts.relay.sealing import Identity, pack

_FILE = "relay.json"
_LOCK = "relay.lock"


class HomeError(Exception):
    """The folder cannot be used; the text says why."""


@dataclass(slots=True)
class State:
    """
    One account at one server. Secrets are hexadecimal; ids of prekeys are texts, as JSON wants it.

    *known*: identity keys by account id, as they were first seen.
    """

    url: str
    username: str
    account_id: str = ""
    token: str = ""
    refresh_token: str = ""
    expires_at: str = ""
    seed: str = ""
    next_id: int = 1
    signed: dict[str, str] = field(default_factory=dict)
    one_time: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> Identity:
        """The identity key."""
        return Identity(bytes.fromhex(self.seed))

    def begin(self) -> dict[str, Any]:
        """Make a new identity; return its first upload, without one-time prekeys."""
        self.seed = secrets.token_hex(32)
        public, number = self._new(self.signed)
        signature = self.identity.sign(b"\x05" + public)
        signed = {
            "id": number,
            "key": pack(public),
            "signature": b64encode(signature).decode(),
        }
        return {
            "identity_key": pack(self.identity.public),
            "registration_id": 1 + secrets.randbelow(16380),
            "signed_pre_key": signed,
        }

    def more(self, count: int) -> list[dict[str, Any]]:
        """Make *count* one-time prekeys; return what is uploaded of them."""
        made = [self._new(self.one_time) for _ in range(count)]
        return [{"id": number, "key": pack(public)} for public, number in made]

    def secret_of(self, kind: str, number: int) -> bytes | None:
        """Return the secret of a prekey, or None when it is gone."""
        kept = self.signed if kind == "signed" else self.one_time
        found = kept.get(str(number))
        return None if found is None else bytes.fromhex(found)

    def is_known(self, account_id: str, key: bytes, *, accept: bool = False) -> bool:
        """Whether *key* is what was first seen of an account; what is new, or accepted, is kept."""
        if accept or account_id not in self.known:
            self.known[account_id] = key.hex()
        return self.known[account_id] == key.hex()

    def _new(self, kept: dict[str, str]) -> tuple[bytes, int]:
        secret, number = X25519PrivateKey.generate(), self.next_id
        self.next_id += 1
        kept[str(number)] = secret.private_bytes_raw().hex()
        return secret.public_key().public_bytes_raw(), number


class Home:
    """The folder, of mode 0700, and its one file, of mode 0600."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether an account was registered from here."""
        return (self.folder / _FILE).exists()

    def load(self) -> State:
        """Return the state; raises `HomeError`."""
        try:
            return State(**json.loads((self.folder / _FILE).read_bytes()))
        except FileNotFoundError:
            raise HomeError(f"{self.folder} holds no account: edgekeep relay register.") from None
        except (OSError, ValueError, TypeError):
            raise HomeError(f"{self.folder / _FILE} cannot be read.") from None

    @contextlib.contextmanager
    def edit(self) -> Iterator[State]:
        """Yield the state and keep what the block made of it; others wait meanwhile."""
        with self._alone():
            state = self.load()
            yield state
            self._write(state)

    def save(self, state: State) -> None:
        """Keep a new account; raises `HomeError` when there is one."""
        with self._alone():
            if self.exists:
                raise HomeError(f"{self.folder} holds an account already.")
            self._write(state)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise HomeError(f"{self.folder} cannot be used: {error.strerror}.") from None
        with os.fdopen(handle):
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _write(self, state: State) -> None:
        draft = self.folder / f".{_FILE}.{os.getpid()}"
        try:
            handle = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w") as file:
                json.dump(asdict(state), file)
                file.flush()
                os.fsync(handle)
            draft.replace(self.folder / _FILE)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise HomeError(f"{self.folder} cannot be written: {error.strerror}.") from None


def default_home(environ: Mapping[str, str]) -> Path:
    """Return the folder by the XDG base directory rules."""
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if config.startswith("/") else Path.home() / ".config"
    return base / "edgekeep-relay"
