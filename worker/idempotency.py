"""
Idempotency keys: of all requests with one key, exactly one runs, the others get its answer.

KV cannot arbitrate (it is eventually consistent, bindings.md A8), so an actor does: one
`IdempotencyBox` per principal, route and key. It holds who runs, then the answer until it expires.
IDEMPOTENCY_KV keeps a copy of finished answers, which never change, as a cheap first look.
(facts/seeds.md X27.)
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from durable.contract import AlarmInfo, DurableObject
from worker.env import Env
from worker.errors import BadRequest
from worker.limits import IDEMPOTENCY_KEY_CHARS
from worker.web import Request, Response

REPLAY_MARK = "Idempotent-Replayed"


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
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= IDEMPOTENCY_KEY_CHARS or not all("!" <= c <= "~" for c in key):
        raise BadRequest(
            f"Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS} visible ASCII characters."
        )
    return key


def box_name(principal: str, route: str, key: str) -> str:
    """Return the name of the box: a digest, so that neither principal nor key lies in storage."""
    return hashlib.sha256(f"{principal}\0{route}\0{key}".encode()).hexdigest()


async def recall(env: Env, box: str) -> Answer | None:
    """Return the finished answer of *box* if KV already has it."""
    kept = await env.idempotency_kv.get(f"answer:{box}", "json")
    return Answer.read(kept) if kept else None


class IdempotencyBox(DurableObject):
    """The arbiter of one key. `run` is the id of the run that holds it."""

    env: Env

    async def claim(self, run: str, dead_run: str = "") -> dict[str, Any]:
        """
        Take the key for *run*; *dead_run* is a holder that the caller knows to have died.

        Answers {"state": "claimed"}, {"state": "held", "run": id of the holder} or
        {"state": "done", "answer": as `Answer.plain`}.
        """
        answer = await self.ctx.storage.get("answer")
        if answer is not None:
            return {"state": "done", "answer": answer}
        holder = await self.ctx.storage.get("run")
        if holder is not None and holder not in (run, dead_run):
            return {"state": "held", "run": holder}
        await self.ctx.storage.put("run", run)
        await self.ctx.storage.set_alarm(self._expiry_ms())
        return {"state": "claimed"}

    async def finish(self, run: str, answer: dict[str, Any]) -> bool:
        """Keep the answer of *run*; False when another run holds the key by now."""
        if await self.ctx.storage.get("run") != run:
            return False
        await self.ctx.storage.put("answer", answer)
        await self.ctx.storage.set_alarm(self._expiry_ms())
        return True

    async def release(self, run: str) -> None:
        """Give the key back after a run that may be tried again (cut connection, storage fault)."""
        if await self.ctx.storage.get("run") == run:
            await self.ctx.storage.delete_all()

    async def alarm(self, info: AlarmInfo) -> None:
        """Forget the key when its time is over."""
        await self.ctx.storage.delete_all()

    def _expiry_ms(self) -> int:
        return self.env.now_ms() + self.env.settings.idempotency_hours * 3_600_000
