"""The public keys of an account, to be exported and erased (`worker.data_holders`)."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from worker.codec import iso_time
from worker.data_holders import Exported, Owned
from worker.env import Env
from worker.relay.keys.store import KeyStore


class KeysHolder:
    """The keys with which others write to the account."""

    owns = (
        Owned("table", "relay_identities", "account_id"),
        Owned("table", "one_time_prekeys", "account_id"),
    )

    async def export(self, env: Env, account_id: str) -> AsyncIterator[Exported]:
        """Yield the lasting keys, and what is known of each one-time one."""
        store = KeyStore(env, account_id)
        identity = await store.identity()
        if identity is None:
            return
        lasting = {
            "identity_key": identity.key,
            "registration_id": identity.registration_id,
            "signed_pre_key": asdict(identity.signed),
            "last_resort_kyber_pre_key": identity.last_resort and asdict(identity.last_resort),
            "updated_at": iso_time(identity.updated_at / 1000),
        }
        yield Exported("keys", lasting)
        async for row in store.ids():
            yield Exported("one_time_pre_keys", _told(row))

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
