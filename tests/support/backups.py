"""An account with its backup and attachments, used through the doors; stores that fail on order."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from d1_schema.contract import D1Database, D1Error, D1Rows, D1Session
from r2.contract import R2Error
from tests.support.clock import Clock
from tests.support.running_host import Answer, RunningHost
from worker.backup.sweep import sweep
from worker.env import Env
from worker.identity import sessions

BINARY = {"Content-Type": "application/octet-stream"}


@dataclass(slots=True)
class Keeper:
    """Somebody who keeps a backup at *host*."""

    host: RunningHost
    account_id: str
    headers: dict[str, str]

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call a door; underscores in names of *headers* stand for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.host.ask(method, path, data=body, headers={**self.headers, **more})

    async def store(self, body: Any, over: int | None = None, **headers: str) -> Answer:
        """Upload *body* over version *over*."""
        match = {} if over is None else {"If_Match": f'"{over}"'}
        return await self.ask("POST", "/v1/backup", body, **match, **headers)

    async def fetch(self, **headers: str) -> Answer:
        """Read the backup."""
        return await self.ask("GET", "/v1/backup", **headers)

    async def attach(self, body: Any) -> str:
        """Store an attachment; return its id."""
        answer = await self.ask("POST", "/v1/attachments", body)
        assert answer.status == 201, answer.body
        return str(answer.json()["id"])

    async def keys(self) -> list[str]:
        """Return the keys of all blobs of this account, once background work has ended."""
        await self.host.opened.env.tools.finish()  # type: ignore[attr-defined]
        page = await self.host.env.blobs.list(prefix=f"backups/{self.account_id}/")
        return [item.key for item in page.objects]


async def make_keeper(env: Env, host: RunningHost, account_id: str = "ada") -> Keeper:
    """Make an account and a session of it for backups."""
    return Keeper(host, account_id, await sign_in(env, account_id))


async def sign_in(env: Env, account_id: str) -> dict[str, str]:
    """Make an account and return the header of its token for backups."""
    add = "INSERT OR IGNORE INTO accounts VALUES (?1, 'owner', ?2, ?2, NULL)"
    await env.db.prepare(add).bind(account_id, env.now_ms()).run()
    grant = await sessions.begin(env, sessions.SignIn(account_id, "password"), "backup")
    return {"Authorization": f"Bearer {grant.token}", **BINARY}


def blob(seed: int, size: int = 1000) -> bytes:
    """Return *size* bytes that no other *seed* gives."""
    return (f"{seed:09d};".encode() * (size // 10 + 1))[:size]


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield *parts*: a client that sends its body in chunks, without its length."""
    for part in parts:
        yield part


async def sweep_later(env: Env, seconds: float = 2 * 3600) -> None:
    """Sweep as if *seconds* had passed."""
    assert isinstance(env.tools.now, Clock)
    with env.tools.now.moved(seconds):
        await sweep(env)


class FailingBucket:
    """A bucket whose verbs in *failing* fail: before they act, or after (the answer is lost)."""

    def __init__(self, inner: Any, failing: str, *, after: bool = False) -> None:
        self._inner = inner
        self._failing = failing.split(",")
        self._after = after

    def __getattr__(self, verb: str) -> Any:
        method = getattr(self._inner, verb)
        if verb not in self._failing:
            return method

        async def failing(*args: Any, **kwargs: Any) -> Any:
            if self._after:
                await method(*args, **kwargs)
            raise R2Error(verb, "We encountered an internal error. Please try again.", 10001)

        return failing


class FailingDatabase(D1Database):
    """A database where calls fail whose SQL *matches*: before they act, or *after*."""

    def __init__(
        self, inner: D1Database, matches: Callable[[str], bool], *, after: bool = False
    ) -> None:
        self._inner = inner
        self._matches = matches
        self._after = after
        self.failed = 0

    def _fail(self, sql: str) -> bool:
        return self._matches(" ".join(sql.split()))

    def _error(self) -> D1Error:
        self.failed += 1
        return D1Error("D1_ERROR: Network connection lost.")

    async def run_first(self, sql: str, parameters: Any) -> Any:
        """See the contract."""
        if not self._fail(sql):
            return await self._inner.run_first(sql, parameters)
        if self._after:
            await self._inner.run_first(sql, parameters)
        raise self._error()

    async def run_batch(self, statements: Sequence[tuple[str, Any]]) -> list[D1Rows]:
        """See the contract."""
        if not self._fail(statements[0][0]):
            return await self._inner.run_batch(statements)
        if self._after:
            await self._inner.run_batch(statements)
        raise self._error()

    async def run_lines(self, lines: Sequence[str]) -> float:
        """See the contract."""
        return await self._inner.run_lines(lines)

    def _session(self, constraint: str | None) -> D1Session:
        """See the contract."""
        return self._inner.with_session(constraint)

    async def close(self) -> None:
        """See the contract."""
        await self._inner.close()
