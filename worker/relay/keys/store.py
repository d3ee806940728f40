"""
KeyStore: the public keys that people need to write to somebody who is not there. All its SQL.

A bundle takes one one-time prekey, and never the same one twice: the row that is taken is chosen
and marked by one statement, so D1 decides between parallel fetches (seed FR-003), and the end of a
key that was given out stays, so that the key comes back under no id.
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from d1_schema.contract import D1Statement
from worker.env import Env
from worker.limits import FETCH_KEYS
from worker.relay.keys.model import Bundle, Counts, LastingKeys, Prekey, Upload

# How long a prekey that was given out is remembered, so that no upload brings it back; and how many
# of a kind: who gives out more in a month loses the oldest marks, not the server its disk.
TAKEN_PREKEY_SECONDS = 30 * 24 * 3600
TAKEN_PREKEYS = 5000
# Of somebody's one-time prekeys, what is left for people who took none of them today: a third of
# those held by default.
PREKEYS_RESERVED = 33
SHARE_MS = int(FETCH_KEYS.burst / FETCH_KEYS.per_second * 1000)

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
# ?11: a complete upload stands for all there is, also for the last resort that it does not name.
_UPDATE = """
UPDATE relay_identities SET registration_id = coalesce(?3, registration_id),
    signed_id = coalesce(?4, signed_id), signed_key = coalesce(?5, signed_key),
    signed_signature = coalesce(?6, signed_signature),
    last_resort_id = iif(?11, ?7, coalesce(?7, last_resort_id)),
    last_resort_key = iif(?11, ?8, coalesce(?8, last_resort_key)),
    last_resort_signature = iif(?11, ?9, coalesce(?9, last_resort_signature)), updated_at = ?10
WHERE account_id = ?1 AND identity_key = ?2
"""
_CLEAR = "DELETE FROM one_time_prekeys WHERE account_id = ? AND taken_at IS NULL"
_ERASE = (
    "DELETE FROM one_time_prekeys WHERE account_id = ?",
    "UPDATE one_time_prekeys SET taken_by = NULL WHERE taken_by = ?",
    "DELETE FROM relay_identities WHERE account_id = ?",
)
_SIGNED_BY = "EXISTS (SELECT 1 FROM relay_identities WHERE account_id = ?1 AND identity_key = ?3)"
# What waits and is not in the list.
_DROP = f"""
DELETE FROM one_time_prekeys WHERE account_id = ?1 AND kind = ?2 AND taken_at IS NULL
    AND (key_id, public_key) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?4))
    AND {_SIGNED_BY}
"""  # noqa: S608 - a constant
# Passed over: a key that was given out, whatever its id, and what waits in the same words. Another
# key under an id that waits, and a waiting key under another id, take the other's place.
_ADD = f"""
INSERT OR REPLACE INTO one_time_prekeys (account_id, kind, key_id, public_key, signature)
SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?4)
WHERE {_SIGNED_BY} AND NOT EXISTS (SELECT 1 FROM one_time_prekeys
    WHERE account_id = ?1 AND kind = ?2 AND substr(public_key, -32) = substr(value ->> 1, -32)
        AND (taken_at IS NOT NULL OR key_id = value ->> 0))
"""  # noqa: S608 - a constant
_PRUNE = """
DELETE FROM one_time_prekeys WHERE seq IN (
    SELECT seq FROM one_time_prekeys WHERE account_id = ?1 AND kind = ?2 AND taken_at IS NULL
    ORDER BY seq DESC LIMIT -1 OFFSET ?3)
OR seq IN (
    SELECT seq FROM one_time_prekeys WHERE account_id = ?1 AND kind = ?2 AND taken_at > 0
    ORDER BY taken_at DESC LIMIT -1 OFFSET ?4)
"""
# A lasting key is given to everybody, so it waits nowhere to be given once.
_APART = """
DELETE FROM one_time_prekeys WHERE account_id = ?1 AND taken_at IS NULL
    AND substr(public_key, -32) IN (
        SELECT substr(signed_key, -32) FROM relay_identities WHERE account_id = ?1 UNION ALL
        SELECT substr(last_resort_key, -32) FROM relay_identities WHERE account_id = ?1)
"""
_GIVEN = """
SELECT 1 AS one FROM one_time_prekeys WHERE account_id = ? AND taken_at > 0
    AND substr(public_key, -32) IN (?, ?)
"""
# Who took none today gets the oldest; who took some, as long as that is less than a share and more
# than the reserve are left. Only what this very batch has taken still has its whole key.
_MINE = """
FROM one_time_prekeys WHERE taken_by = ?4 AND account_id = ?1 AND kind = ?2 AND taken_at > ?5
"""
_TAKE = f"""
UPDATE one_time_prekeys SET taken_at = ?3, taken_by = ?4 WHERE seq = (
    SELECT seq FROM one_time_prekeys WHERE account_id = ?1 AND kind = ?2 AND taken_at IS NULL
    ORDER BY seq LIMIT 1)
AND (NOT EXISTS (SELECT 1 {_MINE}) OR (SELECT count(*) {_MINE}) < ?6 AND EXISTS (
    SELECT 1 FROM one_time_prekeys WHERE account_id = ?1 AND kind = ?2 AND taken_at IS NULL
    LIMIT 1 OFFSET ?7))
AND (?8 OR EXISTS (SELECT 1 FROM one_time_prekeys
    WHERE account_id = ?1 AND kind = 'ec' AND taken_at = ?3 AND length(public_key) > 32))
RETURNING key_id, public_key, signature
"""  # noqa: S608 - a constant
# Those taken in the same millisecond by others have been answered too: a batch is one transaction.
_SHORTEN = """
UPDATE one_time_prekeys SET public_key = substr(public_key, -32), signature = NULL
WHERE taken_at = ?
"""
_SHARE = """
SELECT count(*) AS taken, min(taken_at) AS since FROM one_time_prekeys
WHERE taken_by = ? AND account_id = ? AND kind = 'ec' AND taken_at > ?
"""
_COUNT = """
SELECT kind, count(*) AS held FROM one_time_prekeys
WHERE account_id = ? AND taken_at IS NULL GROUP BY kind
"""
_KNOWN = """
SELECT seq, kind, key_id, taken_at FROM one_time_prekeys
WHERE account_id = ? AND (kind, seq) > (?, ?) ORDER BY kind, seq LIMIT 500
"""
_HELD = """
SELECT kind, key_id, public_key, signature FROM one_time_prekeys
WHERE account_id = ? AND taken_at IS NULL ORDER BY kind, key_id
"""
_TOLD = "UPDATE relay_identities SET changed_at = NULL WHERE account_id = ? AND changed_at = ?"
_UNTOLD = "SELECT account_id, changed_at FROM relay_identities WHERE changed_at < ? LIMIT 100"
_PURGE = "DELETE FROM one_time_prekeys WHERE taken_at < ?"
_FORGET_TAKERS = """
UPDATE one_time_prekeys SET taken_by = NULL WHERE taken_at <= ? AND taken_by IS NOT NULL
"""


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
        return [clear, begin, *self._storing(upload, upload.identity_key, adds=True)]

    async def replace(self, upload: Upload) -> None:
        """Store a complete upload in place of all there is."""
        await self._db.batch(self.replacing(upload))

    async def update(self, upload: Upload, identity_key: str, *, adds: bool = False) -> bool:
        """
        Store what *upload* names in place of what is held of it; *adds*: beside that.

        A complete upload leaves nothing else. False, and nothing is stored, when the identity is
        not *identity_key* any more, which has signed the upload.
        """
        values = (*self._values(upload, identity_key), upload.is_complete)
        update = self._db.prepare(_UPDATE).bind(*values)
        results = await self._db.batch([update, *self._storing(upload, identity_key, adds=adds)])
        return results[0].meta.changes > 0

    async def gave_once(self, upload: Upload) -> bool:
        """Whether a lasting key of *upload* was given out as a one-time prekey before."""
        ends = (None if one is None else one.end for one in (upload.signed, upload.last_resort))
        return await self._db.prepare(_GIVEN).bind(self._account_id, *ends).first() is not None

    async def take(self, *, may_lack_one_time: bool, taker: str | None) -> Bundle | None:
        """
        Take a bundle; None when there are no keys at all.

        Without *may_lack_one_time*, nothing is taken when there is no one-time prekey for *taker*
        (None: an account that no share is counted for). When there is no one-time Kyber prekey, the
        bundle has that of last resort.
        """
        now, me = self._env.now_ms(), self._account_id
        today = now - SHARE_MS
        take = self._db.prepare(_TAKE)
        shares = (now, taker, today, FETCH_KEYS.burst, PREKEYS_RESERVED)
        results = await self._db.batch(
            [
                self._db.prepare(_IDENTITY).bind(me),
                take.bind(me, "ec", *shares, True),
                take.bind(me, "kyber", *shares, may_lack_one_time),
                self._db.prepare(_SHORTEN).bind(now),
                self._db.prepare(_COUNT).bind(me),
                self._db.prepare(_SHARE).bind(taker, me, today),
            ]
        )
        rows, one_time, kyber, _, counts, [share] = [result.results for result in results]
        if not rows:
            return None
        identity = _identity(rows[0])
        is_used_up = share["taken"] >= FETCH_KEYS.burst
        return Bundle(
            identity,
            _taken(one_time),
            _taken(kyber) or identity.last_resort,
            _counts(counts).one_time,
            (share["since"] - today) / 1000 if is_used_up else 0,
        )

    async def clear(self) -> None:
        """Remove the one-time prekeys that wait; what was given out stays known."""
        await self._db.prepare(_CLEAR).bind(self._account_id).run()

    async def held(self) -> tuple[list[Prekey], list[Prekey]]:
        """Return the one-time prekeys that wait, of Curve25519 and of Kyber, by ids."""
        rows = (await self._db.prepare(_HELD).bind(self._account_id).all()).results
        ec, kyber = (
            [_prekey(row) for row in rows if row["kind"] == one] for one in ("ec", "kyber")
        )
        return ec, kyber

    async def counts(self) -> Counts:
        """Return how many one-time prekeys are left."""
        return _counts((await self._db.prepare(_COUNT).bind(self._account_id).all()).results)

    async def ids(self) -> AsyncIterator[dict[str, Any]]:
        """Yield kind, key_id and taken_at (None: it is left) of every known one-time prekey."""
        after: tuple[str, int] = ("", 0)
        list_ = self._db.prepare(_KNOWN)
        while rows := (await list_.bind(self._account_id, *after).all()).results:
            for row in rows:
                yield row
            after = (rows[-1]["kind"], rows[-1]["seq"])

    async def told(self, changed_at: int) -> None:
        """Note that the inbox knows of the change of *changed_at*."""
        await self._db.prepare(_TOLD).bind(self._account_id, changed_at).run()

    async def erase(self) -> None:
        """Remove every key, and that the account took others'."""
        await self._db.batch(self._db.prepare(sql).bind(self._account_id) for sql in _ERASE)

    def _values(self, upload: Upload, identity_key: str | None) -> tuple[Any, ...]:
        return (
            self._account_id,
            identity_key,
            upload.registration_id,
            *_columns(upload.signed),
            *_columns(upload.last_resort),
            self._env.now_ms(),
        )

    def _storing(
        self, upload: Upload, identity_key: str | None, *, adds: bool
    ) -> Iterable[D1Statement]:
        """Yield what stores the one-time prekeys, in place of those that wait unless it *adds*."""
        me, held = self._account_id, self._env.settings.prekeys_held
        for kind, prekeys in (("ec", upload.one_time), ("kyber", upload.kyber)):
            if prekeys is None and not upload.is_complete:
                continue
            rows = json.dumps([_columns(prekey) for prekey in prekeys or ()])
            for sql in (_ADD,) if adds else (_DROP, _ADD):
                yield self._db.prepare(sql).bind(me, kind, identity_key, rows)
            yield self._db.prepare(_PRUNE).bind(me, kind, held, TAKEN_PREKEYS)
        yield self._db.prepare(_APART).bind(me)


async def purge_taken(env: Env) -> None:
    """Forget prekeys that were given out long ago, and who took those of yesterday."""
    now = env.now_ms()
    purge = env.db.prepare(_PURGE).bind(now - TAKEN_PREKEY_SECONDS * 1000)
    await env.db.batch([purge, env.db.prepare(_FORGET_TAKERS).bind(now - SHARE_MS)])


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


def _taken(rows: Sequence[Mapping[str, Any]]) -> Prekey | None:
    return _prekey(rows[0]) if rows else None


def _prekey(
    row: Mapping[str, Any],
    id_: str = "key_id",
    key: str = "public_key",
    signature: str = "signature",
) -> Prekey:
    return Prekey(row[id_], row[key], row[signature])


def _counts(rows: Sequence[Mapping[str, Any]]) -> Counts:
    held = {row["kind"]: row["held"] for row in rows}
    return Counts(held.get("ec", 0), held.get("kyber", 0))
