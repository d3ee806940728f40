"""
Idempotency keys: of all requests with one key, exactly one runs, the others get its answer.

KV cannot arbitrate (it is eventually consistent, bindings.md A8), so an actor does: one
`IdempotencyBox` per principal. It knows every run of the principal, with the key that it holds and
then its answer, until these expire: so an erasure finds them all. IDEMPOTENCY_KV keeps a copy of
finished answers, which never change, as a cheap first look. (facts/seeds.md X27.)
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from durable.contract import AlarmInfo, DurableObject, SqlCursor
from worker.env import Env
from worker.errors import BadRequest
from worker.web import Request, Response
from worker.wire.sent_headers import sent

_KEY = sent("Idempotency-Key")
IDEMPOTENCY_KEY_CHARS = 255

REPLAY_MARK = "Idempotent-Replayed"
# How long the box keeps the report of a run: longer than a cache of KV knows of none.
REPORT_MS = 3_600_000
# Of the copies in IDEMPOTENCY_KV.
PREFIX = "answer:"

_TABLE = """
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, until_ms INTEGER NOT NULL,
    key TEXT UNIQUE, key_until_ms INTEGER, answer TEXT)
"""
# Runs that have ended hand over their small reports, so that nothing of their own has to stay.
_REPORTS = """
CREATE TABLE IF NOT EXISTS reports
    (run TEXT PRIMARY KEY, until_ms INTEGER NOT NULL, report TEXT NOT NULL)
"""
_BY_DUE = "CREATE INDEX IF NOT EXISTS runs_by_due ON runs (ifnull(key_until_ms, until_ms))"
_REPORTS_BY_DUE = "CREATE INDEX IF NOT EXISTS reports_by_due ON reports (until_ms)"
_KEEP_REPORT = """
INSERT OR REPLACE INTO reports SELECT run, ?, ? FROM runs WHERE run = ? RETURNING run
"""
_REPORT = "SELECT report FROM reports WHERE run = ?"
_KNOWN = "SELECT 1 FROM runs WHERE run = ?"
_HOLDER = "SELECT run, answer FROM runs WHERE key = ?"
_LOSE = "UPDATE runs SET key = NULL, key_until_ms = NULL WHERE key = ?"
_BEGIN = "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, NULL)"
_FINISH = """
UPDATE runs SET answer = ?, key_until_ms = ? WHERE run = ? AND key = ? RETURNING run
"""
_RELEASE = """
UPDATE runs SET key = NULL, key_until_ms = NULL WHERE run = ? AND key = ? AND answer IS NULL
"""
_FORGET_KEYS = """
UPDATE runs SET key = NULL, key_until_ms = NULL, answer = NULL
WHERE ifnull(key_until_ms, until_ms) <= ?1 AND key_until_ms <= ?1
"""
_FORGET_RUNS = """
DELETE FROM runs WHERE ifnull(key_until_ms, until_ms) <= ?1 AND until_ms <= ?1 AND key IS NULL
"""
_FORGET_REPORTS = "DELETE FROM reports WHERE until_ms <= ?"
_DUE = """
SELECT min(due) FROM (SELECT min(ifnull(key_until_ms, until_ms)) AS due FROM runs
    UNION ALL SELECT min(until_ms) FROM reports)
"""
_HELD = "SELECT run, key FROM runs WHERE run > ? ORDER BY run LIMIT 500"


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer; *digest* tells the request that it answered from all others."""

    digest: str
    status: int
    content_type: str
    body: bytes

    def plain(self) -> dict[str, Any]:
        """Return it as JSON-like data for KV and RPC."""
        body = base64.b64encode(self.body).decode()
        return {
            "digest": self.digest,
            "status": self.status,
            "content_type": self.content_type,
            "body": body,
        }

    @classmethod
    def read(cls, plain: dict[str, Any]) -> "Answer":
        """Undo `plain`."""
        return cls(
            plain["digest"],
            plain["status"],
            plain["content_type"],
            base64.b64decode(plain["body"]),
        )

    def replay(self) -> Response:
        """Return the original status and body with the replay marker."""
        headers = {"Content-Type": self.content_type, REPLAY_MARK: "true"}
        return Response(self.body, self.status, headers)


def key_of(request: Request) -> str | None:
    """Return the Idempotency-Key header; raises `BadRequest` unless it is visible ASCII."""
    key = request.headers.get(_KEY)
    if key is None:
        return None
    if not 0 < len(key) <= IDEMPOTENCY_KEY_CHARS or not all("!" <= c <= "~" for c in key):
        raise BadRequest(
            f"Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS} visible ASCII characters."
        )
    return key


def owner_of(principal: str) -> str:
    """Return the name of the principal's box: a digest, which tells storage nothing."""
    return hashlib.sha256(principal.encode()).hexdigest()[:16]


def digest_of(principal: str, route: str, key: str) -> str:
    """Return what stands for a key in storage: neither principal nor key."""
    return hashlib.sha256(f"{principal}\0{route}\0{key}".encode()).hexdigest()


async def recall(env: Env, digest: str) -> Answer | None:
    """Return the finished answer of a key if KV already has it."""
    kept = await env.idempotency_kv.get(PREFIX + digest, "json")
    return Answer.read(kept) if kept else None


class IdempotencyBox(DurableObject):
    """The arbiter of one principal's keys: *run* is the id of a run, *key* a digest."""

    env: Env

    async def claim(
        self, run: str, days: int, key: str | None, dead_run: str = ""
    ) -> dict[str, Any]:
        """
        Note *run*, of which something is kept for *days*, and let it take *key*, if it has one.

        *dead_run* is a holder that the caller knows to have died. Answers {"state": "claimed"},
        {"state": "held", "run": id of the holder}, {"state": "done", "answer": as
        `Answer.plain`} or {"state": "taken"}: the run has ended before.
        """
        if self._exec(_REPORT, run).to_array():
            return {"state": "taken"}
        for holder, answer in self._exec(_HOLDER, key).raw():
            if answer is not None:
                return {"state": "done", "answer": json.loads(answer)}
            if holder not in (run, dead_run):
                return {"state": "held", "run": holder}
        self._exec(_LOSE, key)
        key_until = None if key is None else self._key_until()
        self._exec(_BEGIN, run, self.env.now_ms() + days * 86_400_000, key, key_until)
        await self._ring()
        return {"state": "claimed"}

    async def conclude(
        self, run: str, key: str | None, answer: dict[str, Any] | None, report: str | None
    ) -> dict[str, bool]:
        """
        Note that *run* has ended; may be repeated. Answers what was kept: {"answer", "report"}.

        Its *key* gets the *answer*, unless another run holds it by now; without one it is given
        back: the run may be tried again (cut connection, storage fault).
        """
        kept = {"answer": False, "report": False}
        if key is not None and answer is None:
            self._exec(_RELEASE, run, key)
        elif key is not None:
            found = self._exec(_FINISH, json.dumps(answer), self._key_until(), run, key)
            kept["answer"] = bool(found.to_array())
        if report is not None:
            until_ms = self.env.now_ms() + REPORT_MS
            kept["report"] = bool(self._exec(_KEEP_REPORT, until_ms, report, run).to_array())
        await self._ring()
        return kept

    async def report_of(self, run: str) -> dict[str, Any] | None:
        """Return the report that *run* has left here, if it ended lately."""
        for (report,) in self._exec(_REPORT, run).raw():
            found: dict[str, Any] = json.loads(report)
            return found
        return None

    async def knows(self, run: str) -> bool:
        """Whether *run* is the principal's."""
        return bool(self._exec(_KNOWN, run).to_array())

    async def alarm(self, info: AlarmInfo) -> None:
        """Forget keys and runs whose time is over."""
        now_ms = self.env.now_ms()
        self._exec(_FORGET_KEYS, now_ms)
        self._exec(_FORGET_RUNS, now_ms)
        self._exec(_FORGET_REPORTS, now_ms)
        await self._ring()

    async def held(self, after: str = "") -> list[dict[str, Any]]:
        """Return a page of what is known behind the run *after*: {run, key}, for an erasure."""
        return self._exec(_HELD, after).to_array()

    async def erase(self) -> None:
        """Forget everything: the account goes."""
        await self.ctx.storage.delete_all()

    def _exec(self, sql: str, *values: Any) -> SqlCursor:
        for table in (_TABLE, _REPORTS, _BY_DUE, _REPORTS_BY_DUE):
            self.ctx.storage.sql.exec(table)
        return self.ctx.storage.sql.exec(sql, *values)

    def _key_until(self) -> int:
        return self.env.now_ms() + self.env.settings.idempotency_hours * 3_600_000

    async def _ring(self) -> None:
        """Let the alarm ring when the next thing is over; when there is none, leave nothing."""
        [[due]] = self._exec(_DUE).raw()
        if due is None:
            await self.ctx.storage.delete_all()
        else:
            await self.ctx.storage.set_alarm(due)
