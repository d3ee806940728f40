"""
Room: what an account may hold (a quota), and what all together may (the disk).

What an account holds of each kind stands in the table `held`, which triggers keep exact in whatever
way a row comes or goes. Before anything arrives, `Quotas.reserve` takes the bytes that were
declared, in one statement with the check, so that no number of uploads at once passes the quota;
`spend` belongs into the batch that makes the row. What a crash leaves of a reservation ends by
itself.

Doors that store are refused while the disk has less than FREE_SPACE_FLOOR_BYTES left, before
anything of the request is stored; bodies that go on for long look again on their way. The floor is
what signing in and out, reading and deleting still write to. At the edge there is no disk to fill.
"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any

from d1_schema.contract import D1Statement
from worker.data_holders import Exported, Owned
from worker.env import Env
from worker.errors import QuotaExceeded, StorageFull, StorageUnavailable, Unauthorized
from worker.limits import MIB

# A body that goes on looks again after so many bytes.
_LOOK_BYTES = MIB
_FULL = "The disk of this deployment is full: nothing more can be stored."


def has_room(env: Env, coming: int = 0) -> bool:
    """Whether the disk keeps its floor when *coming* bytes more are stored."""
    free = env.tools.free_bytes()
    return free is None or free - coming >= env.settings.free_space_floor_bytes


def require_room(env: Env, coming: int = 0) -> None:
    """Raise `StorageFull` unless there is room for *coming* bytes."""
    if not has_room(env, coming):
        raise StorageFull(_FULL)


def store_failed(env: Env, detail: str) -> StorageFull | StorageUnavailable:
    """Return what is told of a store that failed: to come again soon, or that it is full."""
    if has_room(env):
        return StorageUnavailable(detail)
    return StorageFull(_FULL)


async def while_room(env: Env, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield *chunks*; raises `StorageFull` when the disk fills up meanwhile."""
    unseen = 0
    async for chunk in chunks:
        unseen += len(chunk)
        if unseen >= _LOOK_BYTES:
            unseen = 0
            require_room(env)
        yield chunk


_NOW = """
SELECT ifnull(sum(bytes), 0) AS bytes, ifnull(sum(items), 0) AS items FROM (
    SELECT bytes, items FROM held WHERE account_id = ?1 AND kind = ?2
    UNION ALL
    SELECT bytes, 1 FROM reservations WHERE account_id = ?1 AND kind = ?2
)
"""
_RESERVE = f"""
INSERT INTO reservations (id, account_id, kind, bytes, until)
SELECT ?3, accounts.id, ?2, ?4, ?5 FROM accounts, ({_NOW}) AS now
WHERE accounts.id = ?1 AND now.bytes + ?4 <= ?6 AND now.items + 1 <= ?7
RETURNING id
"""  # noqa: S608 - no text of others
_ACCOUNT = "SELECT id FROM accounts WHERE id = ?"
_OVER = "DELETE FROM reservations WHERE until <= ?"
_ALL = "DELETE FROM reservations"
_SPEND = "DELETE FROM reservations WHERE id = ?"
_HELD = "SELECT kind, bytes, items FROM held WHERE account_id = ? AND items > 0 ORDER BY kind"
_FORGET = ("DELETE FROM held WHERE account_id = ?", "DELETE FROM reservations WHERE account_id = ?")


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of *kind* one account may hold."""

    kind: str
    max_bytes: int
    max_items: int


class Quotas:
    """What accounts hold, and what is on its way to them."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._db = env.db

    async def reserve(
        self, account_id: str, quota: Quota, reservation: str, length: int, seconds: float
    ) -> None:
        """
        Let *length* bytes be on their way for *seconds*, under an id that nobody else uses.

        Raises `QuotaExceeded`, `Unauthorized` when the account is gone.
        """
        now_ms = self._env.now_ms()
        until = now_ms + int(seconds * 1000)
        values = (reservation, length, until, quota.max_bytes, quota.max_items)
        whose = (account_id, quota.kind)
        _, made, now, account = await self._db.batch(
            [
                self._db.prepare(_OVER).bind(now_ms),
                self._db.prepare(_RESERVE).bind(*whose, *values),
                self._db.prepare(_NOW).bind(*whose),
                self._db.prepare(_ACCOUNT).bind(account_id),
            ]
        )
        if not account.results:
            raise Unauthorized("The account is gone.")
        if not made.results:
            raise _exceeded(quota, length, now.results[0])

    def spend(self, reservation: str) -> D1Statement:
        """Return what ends a reservation; in the batch, behind what makes the row that counts."""
        return self._db.prepare(_SPEND).bind(reservation)

    async def release(self, reservation: str) -> None:
        """End a reservation of which nothing came."""
        await self.spend(reservation).run()


def _exceeded(quota: Quota, length: int, now: dict[str, Any]) -> QuotaExceeded:
    kind, held_bytes, held_items = quota.kind, now["bytes"], now["items"]
    return QuotaExceeded(
        f"Of {kind} you hold {held_bytes} of {quota.max_bytes} bytes, in {held_items} of "
        f"{quota.max_items}; {length} bytes more are too many. Delete some first.",
        members={
            "kind": kind,
            "held_bytes": held_bytes,
            "allowed_bytes": quota.max_bytes,
            "held_items": held_items,
            "allowed_items": quota.max_items,
        },
    )


async def release_all(env: Env) -> None:
    """End all reservations. For a host that begins: whoever reserved is gone."""
    await env.db.prepare(_ALL).run()


async def release_over(env: Env) -> None:
    """End the reservations of uploads that cannot be under way any more."""
    await env.db.prepare(_OVER).bind(env.now_ms()).run()


class HeldHolder:
    """How much an account holds; the things themselves have holders of their own."""

    owns = (Owned("table", "held", "account_id"), Owned("table", "reservations", "account_id"))

    async def export(self, env: Env, account_id: str) -> AsyncIterator[Exported]:
        """Yield bytes and number of each kind."""
        for row in (await env.db.prepare(_HELD).bind(account_id).all()).results:
            yield Exported("held", row)

    async def erase(self, env: Env, account_id: str) -> None:
        """Remove the counts."""
        await env.db.batch([env.db.prepare(sql).bind(account_id) for sql in _FORGET])
