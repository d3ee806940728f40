"""
The room's own tables: rows that wait for the end of the body, and ids that were stored.

They lie in the actor's SQL storage, so that memory stays flat however long the import is.
"""

import json
from collections.abc import Iterator, Sequence

from durable.contract import ObjectStorage
from worker.profiles.store import Row

# Lines have up to 128 KiB, so this many are at most 13 MB.
_BATCH = 100
# A parameter may have 2,000,000 bytes. A line of 131,072 takes up to twice that once it is quoted.
_PARAMETER_BYTES = 1_500_000


class Staging:
    """Judged rows, one per profile id (the last line wins), kept until the commit."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._sql = storage.sql

    def create(self) -> None:
        """Make the table; before this nothing may be added."""
        self._sql.exec(
            "CREATE TABLE IF NOT EXISTS staged "
            "(seq INTEGER PRIMARY KEY, profile_id TEXT NOT NULL UNIQUE, document TEXT NOT NULL)"
        )

    async def add(self, rows: Sequence[Row]) -> None:
        """Stage *rows*, as many to a statement as a parameter can carry."""
        pairs: list[str] = []
        size = 0
        for row in rows:
            pair = json.dumps([row.profile_id, row.document], ensure_ascii=False)
            length = len(pair.encode()) + 1
            if size + length > _PARAMETER_BYTES:
                self._insert(pairs)
                pairs, size = [], 0
            pairs.append(pair)
            size += length
        self._insert(pairs)

    def _insert(self, pairs: list[str]) -> None:
        self._sql.exec(
            "INSERT OR REPLACE INTO staged (profile_id, document) "
            "SELECT value ->> 0, value ->> 1 FROM json_each(?)",
            "[" + ",".join(pairs) + "]",
        )

    def batches(self) -> Iterator[list[Row]]:
        """Yield the staged rows in the order of their lines."""
        after = 0
        while True:
            found = self._sql.exec(
                "SELECT seq, profile_id, document FROM staged WHERE seq > ? ORDER BY seq LIMIT ?",
                after,
                _BATCH,
            ).to_array()
            if not found:
                return
            after = found[-1]["seq"]
            yield [Row(row["profile_id"], row["document"]) for row in found]

    def drop(self) -> None:
        """Forget everything."""
        self._sql.exec("DROP TABLE IF EXISTS staged")


class Seen:
    """The distinct ids that an import has stored."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._sql = storage.sql

    def create(self) -> None:
        """Make the table; before this nothing may be added or counted."""
        self._sql.exec("CREATE TABLE IF NOT EXISTS seen (profile_id TEXT PRIMARY KEY)")

    def add(self, rows: Sequence[Row]) -> None:
        """Note the ids of *rows*."""
        ids = json.dumps([row.profile_id for row in rows])
        self._sql.exec("INSERT OR IGNORE INTO seen SELECT value FROM json_each(?)", ids)

    def count(self) -> int:
        """Return how many distinct ids were noted."""
        return int(self._sql.exec("SELECT count(*) AS ids FROM seen").one()["ids"])

    def drop(self) -> None:
        """Forget everything."""
        self._sql.exec("DROP TABLE IF EXISTS seen")
