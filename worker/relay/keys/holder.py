"""The public keys of an account, to be exported and erased (`worker.data_holders`)."""

from dataclasses import asdict
from typing import Any

from worker.codec import iso_time
from worker.env import Env
from worker.relay.keys.store import KeyStore


class KeysHolder:
    """The keys with which others write to the account."""

    async def export(self, env: Env, account_id: str) -> dict[str, Any] | None:
        """Return the lasting keys, and what is known of the one-time ones."""
        store = KeyStore(env, account_id)
        identity = await store.identity()
        if identity is None:
            return None
        return {
            "identity_key": identity.key,
            "registration_id": identity.registration_id,
            "signed_pre_key": asdict(identity.signed),
            "last_resort_kyber_pre_key": identity.last_resort and asdict(identity.last_resort),
            "one_time_pre_keys": [_told(row) for row in await store.ids()],
            "updated_at": iso_time(identity.updated_at / 1000),
        }

    async def erase(self, env: Env, account_id: str) -> None:
        """Remove every key; from then on nobody can begin a session with the account."""
        await KeyStore(env, account_id).erase()


def _told(row: dict[str, Any]) -> dict[str, Any]:
    taken_at = row["taken_at"]
    return {
        "kind": row["kind"],
        "id": row["key_id"],
        "given_out_at": None if taken_at is None else iso_time(taken_at / 1000),
    }
