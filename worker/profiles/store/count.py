"""What the counter of profiles in KV keeps in its own storage, and the count of D1."""

from durable.contract import ObjectStorage, SqlCursor

_KNOWN = "CREATE TABLE IF NOT EXISTS known (profile_id TEXT PRIMARY KEY) WITHOUT ROWID"
_FRESH = "CREATE TABLE IF NOT EXISTS fresh (profile_id TEXT PRIMARY KEY) WITHOUT ROWID"
_PENDING = """
CREATE TABLE IF NOT EXISTS pending
    (token TEXT, profile_id TEXT, PRIMARY KEY (token, profile_id)) WITHOUT ROWID
"""
# total is -1 until it was counted for the first time; is_fresh while it is counted anew.
_COUNT = """
CREATE TABLE IF NOT EXISTS count (one INTEGER PRIMARY KEY CHECK (one = 1),
    total INTEGER NOT NULL, is_fresh INTEGER NOT NULL)
"""
_EXPECT = "INSERT OR REPLACE INTO pending SELECT ?, value FROM json_each(?)"
_FORGET = """
DELETE FROM pending WHERE token = ? AND profile_id IN (SELECT value FROM json_each(?))
"""
_THOSE = "SELECT value FROM json_each(?)"


class CountTables:
    """`known`: the ids in KV. `pending`: writes under way. `fresh`: a recount that is under way."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._sql = storage.sql
        self._are_there = False

    def is_counted(self) -> bool:
        """Whether the ids were ever counted."""
        return self.total() >= 0

    def total(self) -> int:
        """Return how many ids are known, -1 before the first count."""
        return int(self._exec("SELECT total FROM count").one()["total"])

    def expect(self, token: str, ids: str) -> None:
        """Note a write of *ids* (JSON)."""
        self._exec(_EXPECT, token, ids)

    def settle(self, ids: str, present: bool) -> None:
        """Make *ids* (JSON) known, or unknown."""
        change = self._add if present else self._remove
        changed = change("known", ids)
        if self.is_counted():
            self._exec("UPDATE count SET total = total + ?", changed)
        if self._exec("SELECT is_fresh FROM count").one()["is_fresh"]:
            change("fresh", ids)

    def forget(self, token: str, ids: str | None = None) -> None:
        """Forget a write, or *ids* (JSON) of it."""
        if ids is None:
            self._exec("DELETE FROM pending WHERE token = ?", token)
        else:
            self._exec(_FORGET, token, ids)

    def tokens(self) -> list[str]:
        """Return the writes that were not settled."""
        rows = self._exec("SELECT DISTINCT token FROM pending").to_array()
        return [row["token"] for row in rows]

    def pending(self, token: str, limit: int) -> list[str]:
        """Return some ids of a write."""
        rows = self._exec("SELECT profile_id FROM pending WHERE token = ? LIMIT ?", token, limit)
        return [row["profile_id"] for row in rows.to_array()]

    def begin_recount(self) -> None:
        """From now on what is settled is noted in the new count as well."""
        self._exec("DROP TABLE IF EXISTS fresh")
        self._exec(_FRESH)
        self._exec("UPDATE count SET is_fresh = 1")

    def recounted(self, ids: str) -> None:
        """Add *ids* (JSON), as they were listed, to the new count."""
        self._add("fresh", ids)

    def end_recount(self) -> None:
        """Put the new count in the place of the old."""
        self._exec("DROP TABLE known")
        self._exec("ALTER TABLE fresh RENAME TO known")
        self._exec("UPDATE count SET is_fresh = 0, total = (SELECT count(*) FROM known)")

    def _add(self, table: str, ids: str) -> int:
        insert = f"INSERT OR IGNORE INTO {table} {_THOSE} RETURNING profile_id"
        return len(self._exec(insert, ids).to_array())

    def _remove(self, table: str, ids: str) -> int:
        delete = f"DELETE FROM {table} WHERE profile_id IN ({_THOSE}) RETURNING profile_id"  # noqa: S608 - a name of ours
        return -len(self._exec(delete, ids).to_array())

    def _exec(self, sql: str, *values: str | int) -> SqlCursor:
        if not self._are_there:
            for table in (_KNOWN, _PENDING, _COUNT):
                self._sql.exec(table)
            self._sql.exec("INSERT OR IGNORE INTO count VALUES (1, -1, 0)")
            self._are_there = True
        return self._sql.exec(sql, *values)
