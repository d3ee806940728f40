"""
KeyStore: the public keys that people need to write to somebody who is not there. All its SQL.

A bundle takes one one-time prekey, and never the same one twice: the row that is taken is chosen
and marked by one statement, so D1 decides between parallel fetches (seed FR-003).
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from d1_schema.contract import D1Statement
from worker.env import Env
from worker.relay.keys.model import Bundle, Counts, LastingKeys, Prekey, Upload

# How long a prekey that was given out is remembered, so that no repeated upload brings it back.
TAKEN_PREKEY_SECONDS = 30 * 24 * 3600

_IDENTITY = "SELECT * FROM relay_identities WHERE account_id = ?"
_REPLACE = """
INSERT INTO relay_identities (account_id, identity_key, registration_id, signed_id, signed_key,
    signed_signature, last_resort_id, last_resort_key, last_resort_signature, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (account_id) DO UPDATE SET identity_key = ?2, registration_id = ?3, signed_id = ?4,
    signed_key = ?5, signed_signature = ?6, last_resort_id = ?7, last_resort_key = ?8,
    last_resort_signature = ?9, updated_at = ?10,
    changed_at = iif(identity_key = ?2, changed_at, ?10)
"""
_UPDATE = """
UPDATE relay_identities SET registration_id = coalesce(?3, registration_id),
    signed_id = coalesce(?4, signed_id), signed_key = coalesce(?5, signed_key),
    signed_signature = coalesce(?6, signed_signature),
    last_resort_id = coalesce(?7, last_resort_id),
    last_resort_key = coalesce(?8, last_resort_key),
    last_resort_signature = coalesce(?9, last_resort_signature), updated_at = ?10
WHERE account_id = ?1 AND identity_key = ?2
"""
_CLEAR = "DELETE FROM one_time_prekeys WHERE account_id = ?"
_FORGET = "DELETE FROM relay_identities WHERE account_id = ?"
# A key that was given out never comes back; its id may, with another key. Only for the identity
# that has signed.
_ADD = """
INSERT INTO one_time_prekeys (account_id, kind, key_id, public_key, signature)
SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?4)
WHERE EXISTS (SELECT 1 FROM relay_identities WHERE account_id = ?1 AND identity_key = ?3)
ON CONFLICT (account_id, kind, key_id) DO UPDATE SET public_key = excluded.public_key,
    signature = excluded.signature, taken_at = NULL
WHERE substr(public_key, -32) != substr(excluded.public_key, -32)
"""
_PRUNE = """
DELETE FROM one_time_prekeys WHERE seq IN (
    SELECT seq FROM one_time_prekeys WHERE account_id = ?1 AND kind = ?2 AND taken_at IS NULL
    ORDER BY seq DESC LIMIT -1 OFFSET ?3)
"""
_TAKE = """
UPDATE one_time_prekeys SET taken_at = ?3 WHERE seq = (
    SELECT seq FROM one_time_prekeys WHERE account_id = ?1 AND kind = ?2 AND taken_at IS NULL
    ORDER BY seq LIMIT 1)
    AND (?4 OR EXISTS (SELECT 1 FROM one_time_prekeys
        WHERE account_id = ?1 AND kind = 'ec' AND taken_at IS NULL))
RETURNING key_id, public_key, signature
"""
# Those taken in the same millisecond by others have been answered too: a batch is one transaction.
_SHORTEN = """
UPDATE one_time_prekeys SET public_key = substr(public_key, -32), signature = NULL
WHERE taken_at = ?
"""
_COUNT = """
SELECT kind, count(*) AS held FROM one_time_prekeys
WHERE account_id = ? AND taken_at IS NULL GROUP BY kind
"""
_IDS = """
SELECT kind, key_id, taken_at FROM one_time_prekeys
WHERE account_id = ? AND (kind, key_id) > (?, ?) ORDER BY kind, key_id LIMIT 500
"""
_TOLD = "UPDATE relay_identities SET changed_at = NULL WHERE account_id = ? AND changed_at = ?"
_UNTOLD = "SELECT account_id, changed_at FROM relay_identities WHERE changed_at < ? LIMIT 100"
_PURGE = "DELETE FROM one_time_prekeys WHERE taken_at < ?"


class KeyStore:
    """The keys of one account."""

    def __init__(self, env: Env, account_id: str) -> None:
        self._env = env
        self._db = env.db
        self._account_id = account_id

    async def identity(self) -> LastingKeys | None:
        """Return the lasting keys, or None before the first upload."""
        row = await self._db.prepare(_IDENTITY).bind(self._account_id).first()
        return None if row is None else _identity(row)

    def replacing(self, upload: Upload) -> list[D1Statement]:
        """Return what stores a complete upload; nothing of an earlier identity stays."""
        clear = self._db.prepare(_CLEAR).bind(self._account_id)
        begin = self._db.prepare(_REPLACE).bind(*self._values(upload, upload.identity_key))
        return [clear, begin, *self._adding(upload, upload.identity_key)]

    async def replace(self, upload: Upload) -> None:
        """Store a complete upload in place of all there is."""
        await self._db.batch(self.replacing(upload))

    async def update(self, upload: Upload, identity_key: str) -> bool:
        """
        Store the parts that *upload* has; False when the identity is not *identity_key* any more.

        What was signed by another identity is then not stored.
        """
        update = self._db.prepare(_UPDATE).bind(*self._values(upload, identity_key))
        results = await self._db.batch([update, *self._adding(upload, identity_key)])
        return results[0].meta.changes > 0

    async def take(self, *, may_lack_one_time: bool) -> Bundle | None:
        """
        Take a bundle; None when there are no keys at all.

        Without *may_lack_one_time*, nothing is taken when no one-time prekey is left. When the
        one-time Kyber prekeys are used up, the bundle has that of last resort.
        """
        now = self._env.now_ms()
        me = self._account_id
        take = self._db.prepare(_TAKE)
        results = await self._db.batch(
            [
                self._db.prepare(_IDENTITY).bind(me),
                take.bind(me, "kyber", now, may_lack_one_time),
                take.bind(me, "ec", now, may_lack_one_time),
                self._db.prepare(_SHORTEN).bind(now),
                self._db.prepare(_COUNT).bind(me),
            ]
        )
        rows, kyber, one_time, _, counts = [result.results for result in results]
        if not rows:
            return None
        identity = _identity(rows[0])
        return Bundle(
            identity,
            _one_time(one_time),
            _one_time(kyber) or identity.last_resort,
            _counts(counts).one_time,
        )

    async def counts(self) -> Counts:
        """Return how many one-time prekeys are left."""
        return _counts((await self._db.prepare(_COUNT).bind(self._account_id).all()).results)

    async def ids(self) -> AsyncIterator[dict[str, Any]]:
        """Yield kind, key_id and taken_at (None: it is left) of every known one-time prekey."""
        after: tuple[str, int] = ("", 0)
        list_ = self._db.prepare(_IDS)
        while rows := (await list_.bind(self._account_id, *after).all()).results:
            for row in rows:
                yield row
            after = (rows[-1]["kind"], rows[-1]["key_id"])

    async def told(self, changed_at: int) -> None:
        """Note that the inbox knows of the change of *changed_at*."""
        await self._db.prepare(_TOLD).bind(self._account_id, changed_at).run()

    async def erase(self) -> None:
        """Remove every key."""
        statements = (self._db.prepare(sql).bind(self._account_id) for sql in (_CLEAR, _FORGET))
        await self._db.batch(statements)

    def _values(self, upload: Upload, identity_key: str | None) -> tuple[Any, ...]:
        return (
            self._account_id,
            identity_key,
            upload.registration_id,
            *_columns(upload.signed),
            *_columns(upload.last_resort),
            self._env.now_ms(),
        )

    def _adding(self, upload: Upload, identity_key: str | None) -> Iterable[D1Statement]:
        held = self._env.settings.prekeys_held
        for kind, prekeys in (("ec", upload.one_time), ("kyber", upload.kyber)):
            if prekeys:
                rows = json.dumps([_columns(prekey) for prekey in prekeys])
                yield self._db.prepare(_ADD).bind(self._account_id, kind, identity_key, rows)
                yield self._db.prepare(_PRUNE).bind(self._account_id, kind, held)


async def purge_taken(env: Env) -> None:
    """Forget prekeys that were given out long ago."""
    before = env.now_ms() - TAKEN_PREKEY_SECONDS * 1000
    await env.db.prepare(_PURGE).bind(before).run()


async def untold(env: Env, before_ms: int) -> list[tuple[str, int]]:
    """Return accounts (with `changed_at`) whose inboxes missed a change before *before_ms*."""
    rows = (await env.db.prepare(_UNTOLD).bind(before_ms).all()).results
    return [(row["account_id"], row["changed_at"]) for row in rows]


def _columns(prekey: Prekey | None) -> tuple[Any, ...]:
    return (None, None, None) if prekey is None else (prekey.id, prekey.key, prekey.signature)


def _identity(row: Mapping[str, Any]) -> LastingKeys:
    last_resort = None
    if row["last_resort_key"] is not None:
        last_resort = _prekey(row, "last_resort_id", "last_resort_key", "last_resort_signature")
    return LastingKeys(
        row["identity_key"],
        row["registration_id"],
        _prekey(row, "signed_id", "signed_key", "signed_signature"),
        last_resort,
        row["updated_at"],
        row["changed_at"],
    )


def _one_time(rows: Sequence[Mapping[str, Any]]) -> Prekey | None:
    return _prekey(rows[0], "key_id", "public_key", "signature") if rows else None


def _prekey(row: Mapping[str, Any], id_: str, key: str, signature: str) -> Prekey:
    return Prekey(row[id_], row[key], row[signature])


def _counts(rows: Sequence[Mapping[str, Any]]) -> Counts:
    held = {row["kind"]: row["held"] for row in rows}
    return Counts(held.get("ec", 0), held.get("kyber", 0))
