"""What the demo keeps of one account: secrets, tokens, and whose identity key it has seen."""

import contextlib
import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from clients.python.private_folder import PrivateFolder
from clients.python.relay.errors import HomeError
from clients.python.relay.sealing import IdentityKey, pack


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
    def identity(self) -> IdentityKey:
        """The identity key."""
        return IdentityKey(bytes.fromhex(self.seed))

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

    def has_secrets_of(self, held: dict[str, Any]) -> bool:
        """Whether what the server holds (`ids`, and a `sha256` of all) can be opened here."""
        lines = []
        for number in held["ids"]:
            secret = self.secret_of("one_time", number)
            if secret is None:
                return False
            public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
            lines.append(f"{number} {pack(public)}\n")
        return bool(hashlib.sha256("".join(lines).encode()).hexdigest() == held["sha256"])

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


class Home(PrivateFolder):
    """The folder of an account. Who finds another process here waits for it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "relay", HomeError)

    def load(self) -> State:
        """Return the state; raises `HomeError`."""
        text = self.read()
        if text is None:
            raise HomeError(f"{self.folder} holds no account: edgekeep relay register, or login.")
        try:
            return State(**json.loads(text))
        except (ValueError, TypeError):
            raise HomeError(f"{self.file} cannot be read.") from None

    @contextlib.contextmanager
    def edit(self) -> Iterator[State]:
        """Yield the state and keep what the block made of it; others wait meanwhile."""
        with self.alone():
            state = self.load()
            yield state
            self._write(state)

    def save(self, state: State) -> None:
        """Keep a new account; raises `HomeError` when there is one."""
        with self.alone():
            if self.exists:
                raise HomeError(f"{self.folder} holds an account already.")
            self._write(state)

    def _write(self, state: State) -> None:
        self.replace(json.dumps(asdict(state)).encode())
