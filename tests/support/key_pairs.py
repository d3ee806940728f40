"""Key pairs of people for the tests: they sign challenges."""

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from tests.support.accounts import Person
from tests.support.running_host import Answer, RunningHost


class KeyPair:
    """A signing key: ML-DSA-87, or Ed25519."""

    def __init__(self, kind: str = "ML-DSA-87") -> None:
        self._key: Any = (
            MLDSA87PrivateKey if kind == "ML-DSA-87" else Ed25519PrivateKey
        ).generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, text: str) -> str:
        """Return the signature of *text* in base64."""
        return b64(self._key.sign(text.encode()))

    def proof(self, challenge: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return the body that shows this key and signs *challenge*; None removes a member."""
        body = {
            "sign_pkey": b64(self.public),
            "challenge_id": challenge["challenge_id"],
            "signature": self.sign(challenge["challenge"]),
            **more,
        }
        return {name: value for name, value in body.items() if value is not None}


def b64(data: bytes) -> str:
    """Encode as plain base64."""
    return base64.b64encode(data).decode()


async def link(person: Person, pair: KeyPair, **more: Any) -> Answer:
    """Link *pair* to the account of *person*."""
    challenge = (await person.ask("POST", "/v1/identities/key/challenge")).json()
    return await person.ask("POST", "/v1/identities/key", json=pair.proof(challenge, **more))


async def sign_in_by(host: RunningHost, pair: KeyPair, **more: Any) -> Answer:
    """Sign in with *pair*."""
    challenge = (await host.ask("POST", "/v1/sessions/key/challenge")).json()
    return await host.ask("POST", "/v1/sessions/key", json=pair.proof(challenge, **more))
