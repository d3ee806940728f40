"""
Where profiles and the reports of imports lie. (`room`: what an import keeps while it runs.)

Profiles are in KV (prototype) or in D1 (live), behind one interface.
KV: namespace PROFILES_KV, key `profile:{profile_id}`, value = the document's JSON text.
D1: table `profiles`, one row each (migration 0001).
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from d1_schema.contract import D1Database
from durable.contract import DurableError, ObjectStub
from kv.checks import MAX_KEY_BYTES
from kv.contract import KVPut
from worker.codec import canonical_json
from worker.env import Env

KV_PREFIX = "profile:"
# What KV leaves for an id. The schemas promise no more (a test compares), so every line that is
# valid can be stored in either store; D1 alone may hold longer ones of before.
LONGEST_ID = MAX_KEY_BYTES - len(KV_PREFIX)
REPORT_PREFIX = "report:"
READ_AT_ONCE = 100  # KV reads at most 100 keys at once (bindings.md A7)


class Row(NamedTuple):
    """One validated profile: its id, its JSON text, and the line of an import that it was."""

    profile_id: str
    document: str
    line_no: int = 0

    def digest(self) -> str:
        """Return what tells this text from another."""
        return hashlib.sha256(self.document.encode()).hexdigest()


class ProfileStore(Protocol):
    """What the slice needs of a store. Positions of `page` are opaque strings."""

    def takes(self, profile_id: str) -> bool:
        """Whether the store can hold a profile of this id."""

    async def get(self, profile_id: str) -> str | None:
        """Return the document of *profile_id*, or None."""

    async def put_many(self, rows: Sequence[Row], import_id: str, now_ms: int) -> None:
        """Insert or replace *rows*, all of which it `takes`; the last row of an id wins."""

    async def written(self, digests: Mapping[str, str], import_id: str) -> list[str]:
        """Return which of the ids hold what *import_id* was about to write: texts by `digest`."""

    async def delete_many(self, profile_ids: Sequence[str]) -> None:
        """Delete profiles; ids that are not there are passed over."""

    async def page(self, limit: int, position: str | None) -> tuple[list[str], str | None]:
        """Return up to *limit* ids in order after *position*, and the next position if any."""

    async def count(self) -> int:
        """Return the number of profiles."""

    def documents(self) -> AsyncIterator[Row]:
        """Yield every profile in order of its id."""


def open_store(env: Env, kind: str | None = None) -> ProfileStore:
    """Return the store that the setting PROFILE_STORE (or *kind*) names."""
    if (kind or env.settings.profile_store) == "d1":
        return D1ProfileStore(env.db)
    return KvProfileStore(env)


def counter(env: Env) -> ObjectStub:
    """Return the actor that counts the profiles in KV."""
    return env.profile_count.get_by_name("profiles")


class KvProfileStore:
    """Profiles in PROFILES_KV; the counter is told of each write, and not found for a read."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._kv = env.profiles_kv

    def takes(self, profile_id: str) -> bool:
        """Whether a key has room for *profile_id*."""
        return len(profile_id) <= LONGEST_ID

    async def get(self, profile_id: str) -> str | None:
        """Return the document of *profile_id*, or None."""
        if not self.takes(profile_id):
            return None
        document: str | None = await self._kv.get(KV_PREFIX + profile_id)
        return document

    async def put_many(self, rows: Sequence[Row], import_id: str, now_ms: int) -> None:
        """Insert or replace *rows*; each id is written once, with its last document."""
        last = {row.profile_id: row.document for row in rows}
        puts = [KVPut(KV_PREFIX + key, value) for key, value in last.items()]
        await self._counted(list(last), True, lambda: self._kv.put_many(puts))

    async def written(self, digests: Mapping[str, str], import_id: str) -> list[str]:
        """Compare the texts: KV does not say who wrote them."""
        ids = list(digests)
        found: list[str] = []
        for start in range(0, len(ids), READ_AT_ONCE):
            part = [KV_PREFIX + profile_id for profile_id in ids[start : start + READ_AT_ONCE]]
            for key, document in (await self._kv.get_many(part)).items():
                profile_id = key.removeprefix(KV_PREFIX)
                if document and Row(profile_id, document).digest() == digests[profile_id]:
                    found.append(profile_id)
        return found

    async def delete_many(self, profile_ids: Sequence[str]) -> None:
        """Delete profiles."""

        async def delete() -> None:
            await asyncio.gather(*(self._kv.delete(KV_PREFIX + key) for key in profile_ids))

        await self._counted(list(profile_ids), False, delete)

    async def _counted(
        self, ids: list[str], present: bool, write: Callable[[], Awaitable[None]]
    ) -> None:
        """Make a write between its announcement and its settling; a crash leaves the former."""
        told = counter(self._env)
        token = self._env.tools.random_bytes(8).hex()
        await told.call("expect", token, ids)
        try:
            await write()
        except Exception:
            with contextlib.suppress(DurableError):
                await told.call("doubt", token)
            raise
        await told.call("settle", token, ids, present)

    async def page(self, limit: int, position: str | None) -> tuple[list[str], str | None]:
        """Return up to *limit* ids; a page may be short while a next position is given."""
        page = await self._kv.list(prefix=KV_PREFIX, limit=limit, cursor=position)
        return [key.name.removeprefix(KV_PREFIX) for key in page.keys], page.cursor

    async def count(self) -> int:
        """Ask the counter: KV keeps no total."""
        return int(await counter(self._env).call("total"))

    async def documents(self) -> AsyncIterator[Row]:
        """Yield every profile; one deleted while we read is left out."""
        position: str | None = None
        while True:
            ids, position = await self.page(READ_AT_ONCE, position)
            if ids:
                found = await self._kv.get_many([KV_PREFIX + profile_id for profile_id in ids])
                for profile_id in ids:
                    document = found[KV_PREFIX + profile_id]
                    if document is not None:
                        yield Row(profile_id, document)
            if position is None:
                return


_GET = "SELECT document FROM profiles WHERE profile_id = ?"
_WRITTEN = """
SELECT profile_id FROM profiles
WHERE import_id = ? AND profile_id IN (SELECT value FROM json_each(?))
"""
_DELETE = "DELETE FROM profiles WHERE profile_id IN (SELECT value FROM json_each(?))"
_PAGE = "SELECT profile_id FROM profiles WHERE profile_id > ? ORDER BY profile_id LIMIT ?"
_DOCUMENTS = (
    "SELECT profile_id, document FROM profiles WHERE profile_id > ? ORDER BY profile_id LIMIT 200"
)
# One bound parameter carries many rows (D1 binds at most 100), and SQLite unpacks it in C.
_UPSERT = """
INSERT INTO profiles (profile_id, schema_version, document, created_at, imported_at, import_id)
SELECT value ->> '$.profile_id', value ->> '$.schema_version', value, value ->> '$.created_at',
       CAST(?2 AS INTEGER), ?3
FROM json_each(?1) WHERE true
ON CONFLICT (profile_id) DO UPDATE SET
    schema_version = excluded.schema_version, document = excluded.document,
    created_at = excluded.created_at, imported_at = excluded.imported_at,
    import_id = excluded.import_id
"""
# A parameter may have 2,000,000 bytes. A line of 131,072 takes up to twice that once it is quoted.
_PARAMETER_BYTES = 1_500_000


class D1ProfileStore:
    """Profiles in the D1 table `profiles`."""

    def __init__(self, db: D1Database) -> None:
        self._db = db

    def takes(self, profile_id: str) -> bool:
        """Whether *profile_id* can be a key: always, it is shorter than a line."""
        return True

    async def get(self, profile_id: str) -> str | None:
        """Return the document of *profile_id*, or None."""
        document: str | None = await self._db.prepare(_GET).bind(profile_id).first("document")
        return document

    async def put_many(self, rows: Sequence[Row], import_id: str, now_ms: int) -> None:
        """Insert or replace *rows*, as many to a statement as a parameter can carry."""
        start = size = 0
        for end, row in enumerate(rows):
            length = len(row.document.encode()) + 1
            if size + length > _PARAMETER_BYTES:
                await self._upsert(rows[start:end], import_id, now_ms)
                start, size = end, 0
            size += length
        if rows[start:]:
            await self._upsert(rows[start:], import_id, now_ms)

    async def _upsert(self, rows: Sequence[Row], import_id: str, now_ms: int) -> None:
        documents = "[" + ",".join(row.document for row in rows) + "]"
        await self._db.prepare(_UPSERT).bind(documents, now_ms, import_id).run()

    async def written(self, digests: Mapping[str, str], import_id: str) -> list[str]:
        """Ask the rows: each knows the import that wrote it last."""
        ids = json.dumps(list(digests))
        rows = await self._db.prepare(_WRITTEN).bind(import_id, ids).raw()
        return [str(row[0]) for row in rows]

    async def delete_many(self, profile_ids: Sequence[str]) -> None:
        """Delete profiles."""
        await self._db.prepare(_DELETE).bind(json.dumps(list(profile_ids))).run()

    async def page(self, limit: int, position: str | None) -> tuple[list[str], str | None]:
        """Return up to *limit* ids after *position* (the last id of the page before)."""
        rows = await self._db.prepare(_PAGE).bind(position or "", limit + 1).raw()
        ids = [str(row[0]) for row in rows[:limit]]
        return ids, ids[-1] if len(rows) > limit else None

    async def count(self) -> int:
        """Return the number of rows, which the table's triggers keep."""
        return int(await self._db.prepare("SELECT total FROM profile_count").first("total"))

    async def documents(self) -> AsyncIterator[Row]:
        """Yield every profile in order of its id."""
        after = ""
        while True:
            rows = await self._db.prepare(_DOCUMENTS).bind(after).raw()
            for profile_id, document in rows:
                yield Row(profile_id, document)
            if not rows:
                return
            after = rows[-1][0]


async def recount_d1(db: D1Database) -> None:
    """Count the rows anew."""
    await db.prepare("UPDATE profile_count SET total = (SELECT count(*) FROM profiles)").run()


# -- the report of an import, when it is final ---------------------------------------------------


class Kept(NamedTuple):
    """A report in KV, and whose it is: the digest of a principal, "" for one of before."""

    report: dict[str, Any]
    owner: str


async def keep_report(env: Env, report: dict[str, Any], owner: str) -> None:
    """Write the final report to IMPORT_REPORT_KV, where it ends after IMPORT_REPORT_DAYS."""
    await env.import_report_kv.put(
        REPORT_PREFIX + report["import_id"],
        canonical_json(report),
        expiration_ttl=env.settings.import_report_days * 86_400,
        metadata={"owner": owner},
    )


async def read_report(env: Env, import_id: str) -> Kept | None:
    """Return the kept report, or None while the import runs or when there never was one."""
    found = await env.import_report_kv.get_with_metadata(REPORT_PREFIX + import_id, "json")
    if found.value is None:
        return None
    return Kept(found.value, (found.metadata or {}).get("owner", ""))
