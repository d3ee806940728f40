"""
What the room of one import keeps while it runs: in the actor's own storage, so that memory stays
flat and a crash leaves the truth.

Tables: `staged`, the rows of an import that is stored at its end; `pending`, the batch that is just
being stored; `seen`, the ids that were stored. Values: see `Memory`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from durable.contract import ObjectStorage, SqlStorage
from worker.profiles.report import Duplicate, Plan, Tally
from worker.profiles.store.profiles import Row

# A parameter may have 2,000,000 bytes. A line of 131,072 takes up to twice that once it is quoted.
_PARAMETER_BYTES = 1_500_000
# Lines have up to 128 KiB, so this many are at most 13 MB.
_STAGED_BATCH = 100
# A line is up to 128 KiB, an error 250 bytes: what a crash may cost of the errors is bounded.
_ERRORS_KEPT = 1000

_STAGED = """
CREATE TABLE IF NOT EXISTS staged (seq INTEGER PRIMARY KEY, profile_id TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL, line_no INTEGER NOT NULL DEFAULT 0)
"""
_STAGE = """
INSERT OR REPLACE INTO staged (profile_id, document, line_no)
SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
"""
_UNSTAGE = "SELECT seq, profile_id, document FROM staged WHERE seq > ? ORDER BY seq LIMIT ?"
_COUNT_STAGED = "SELECT count(*) AS ids FROM staged WHERE seq <= ?"
_SEEN = "CREATE TABLE IF NOT EXISTS seen (profile_id TEXT PRIMARY KEY, line_no INTEGER NOT NULL)"
_PENDING = """
CREATE TABLE IF NOT EXISTS pending
    (profile_id TEXT PRIMARY KEY, line_no INTEGER NOT NULL, digest TEXT NOT NULL)
"""
_EXPECT = """
INSERT OR REPLACE INTO pending SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
"""
_CONFIRM = "INSERT OR REPLACE INTO seen SELECT profile_id, line_no FROM pending"


def _earlier(sql: SqlStorage, table: str, rows: Sequence[Row]) -> list[Duplicate]:
    """Return which lines the lines of *rows* replace: of the same batch, or noted in *table*."""
    ids = json.dumps([row.profile_id for row in rows])
    question = (
        f"SELECT profile_id, line_no FROM {table} "  # noqa: S608 - a name of ours
        "WHERE profile_id IN (SELECT value FROM json_each(?))"
    )
    lines = {row["profile_id"]: row["line_no"] for row in sql.exec(question, ids).to_array()}
    found: list[Duplicate] = []
    for row in rows:
        if row.profile_id in lines:
            found.append(Duplicate(lines[row.profile_id], row.line_no))
        lines[row.profile_id] = row.line_no
    return found


class Staging:
    """Judged rows, one per profile id (the last line wins), kept until the commit."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._sql = storage.sql

    def create(self) -> None:
        """Make the table; before this nothing may be added."""
        self._sql.exec(_STAGED)

    def add(self, rows: Sequence[Row]) -> list[Duplicate]:
        """Stage *rows*, as many at once as a parameter carries; returns what they replace."""
        replaced = _earlier(self._sql, "staged", rows)
        triples: list[str] = []
        size = 0
        for row in rows:
            triple = json.dumps(row, ensure_ascii=False)
            length = len(triple.encode()) + 1
            if size + length > _PARAMETER_BYTES:
                self._insert(triples)
                triples, size = [], 0
            triples.append(triple)
            size += length
        self._insert(triples)
        return replaced

    def _insert(self, triples: list[str]) -> None:
        self._sql.exec(_STAGE, "[" + ",".join(triples) + "]")

    def batches(self, after: int = 0) -> Iterator[tuple[int, list[Row]]]:
        """Yield what was staged behind *after*, in the order of lines: (last place, rows)."""
        while True:
            found = self._sql.exec(_UNSTAGE, after, _STAGED_BATCH).to_array()
            if not found:
                return
            after = found[-1]["seq"]
            yield after, [Row(row["profile_id"], row["document"]) for row in found]

    def count(self, through: int) -> int:
        """Return how many rows there are up to the place *through*."""
        return int(self._sql.exec(_COUNT_STAGED, through).one()["ids"])

    def drop(self) -> None:
        """Forget everything."""
        self._sql.exec("DROP TABLE IF EXISTS staged")


class Seen:
    """
    The distinct ids that an import has stored, and the batch that it is about to store.

    The batch is noted before it goes to the store: after a crash the store is asked which of it
    arrived, so the count is exact.
    """

    def __init__(self, storage: ObjectStorage) -> None:
        self._sql = storage.sql

    def create(self) -> None:
        """Make the tables; before this nothing may be noted or counted."""
        self._sql.exec(_SEEN)
        self._sql.exec(_PENDING)

    def expect(self, rows: Sequence[Row]) -> list[Duplicate]:
        """Note *rows* as about to be stored; returns which lines they replace."""
        noted = json.dumps([(row.profile_id, row.line_no, row.digest()) for row in rows])
        replaced = _earlier(self._sql, "seen", rows)
        self._sql.exec(_EXPECT, noted)
        return replaced

    def pending(self) -> dict[str, str]:
        """Return the ids that were about to be stored, with the digests of their documents."""
        self._sql.exec(_PENDING)  # a room of before has none
        rows = self._sql.exec("SELECT profile_id, digest FROM pending").to_array()
        return {row["profile_id"]: row["digest"] for row in rows}

    def confirm(self, arrived: Sequence[str] | None = None) -> None:
        """What was expected is stored, or of it *arrived* alone."""
        if arrived is None:
            self._sql.exec(_CONFIRM)
        elif arrived:
            those = " WHERE profile_id IN (SELECT value FROM json_each(?))"
            self._sql.exec(_CONFIRM + those, json.dumps(arrived))
        self._sql.exec("DELETE FROM pending")

    def count(self) -> int:
        """Return how many distinct ids were stored."""
        return int(self._sql.exec("SELECT count(*) AS ids FROM seen").one()["ids"])

    def drop(self) -> None:
        """Forget everything."""
        self._sql.exec("DROP TABLE IF EXISTS seen")
        self._sql.exec("DROP TABLE IF EXISTS pending")


class Commit(NamedTuple):
    """How far the commit of a staged import has come."""

    place: int = 0  # of the last staged row that was stored
    left_out: int = 0  # rows that the store cannot take; of before the schemas said so
    tries: int = 0  # alarms since a batch was stored


class Memory:
    """The values of a room: plan, state, counts, and how far its commit is."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self._errors = self._duplicates = 0

    async def state(self) -> str | None:
        """Return the state of the import, or None when there never was one."""
        state: str | None = await self._storage.get("state")
        return state

    async def begin(self, plan: Plan, state: str, now_ms: int) -> None:
        """Note that the import begins."""
        await self._storage.put({"plan": asdict(plan), "state": state, "started_ms": now_ms})

    async def note(self, tally: Tally, state: str, **more: Any) -> None:
        """Note the counts; the lists beside them only when they have grown, within bounds."""
        counts = asdict(tally)
        errors, duplicates = counts.pop("errors"), counts.pop("duplicates")
        if self._errors != (grown := min(len(errors), _ERRORS_KEPT)):
            self._errors, more["errors"] = grown, errors[:grown]
        if self._duplicates != (grown := min(len(duplicates), _ERRORS_KEPT)):
            self._duplicates, more["duplicates"] = grown, [list(one) for one in duplicates[:grown]]
        await self._storage.put({"tally": counts, "state": state, **more})

    async def plan(self) -> Plan:
        """Return what the request asked for."""
        return Plan(**await self._storage.get("plan"))

    async def started_ms(self) -> int:
        """Return when it began."""
        return int(await self._storage.get("started_ms"))

    async def tally(self) -> Tally:
        """Return the counts as they were noted last."""
        kept = await self._storage.get(["tally", "errors", "duplicates"])
        counts = kept.pop("tally", {})
        return Tally(**{**kept, **counts})

    async def commit(self) -> Commit:
        """Return how far the commit is."""
        return Commit(*(await self._storage.get("commit") or ()))

    async def note_commit(self, commit: Commit) -> None:
        """Note how far the commit is."""
        await self._storage.put("commit", list(commit))
