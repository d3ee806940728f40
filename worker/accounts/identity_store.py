"""
SQL of the ways into an account beside username and password: find, add, remove, tell.

A way that is kept under several spellings (an e-mail hash under each look-up key) is one way: it
belongs to nobody as long as none of them does. Times are milliseconds since the epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worker.codec import uuid7
from worker.env import Env
from worker.errors import Conflict, IdentityTaken
from worker.limits import IDENTITIES_MOST

Kind = Literal["password", "oidc", "email", "pq_key"]

_SPELT = "(issuer = ? AND subject = ?)"
_FIND = """
SELECT account_id, issuer, subject, secret FROM identities WHERE kind = ? AND ({which})
ORDER BY created_at LIMIT 1
"""
_NEW_ACCOUNT = """
INSERT INTO accounts (id, role, created_at, last_active_at)
SELECT ?, 'owner', ?, ? WHERE NOT EXISTS (SELECT 1 FROM identities WHERE kind = ? AND ({which}))
"""
_ADD = """
INSERT INTO identities (account_id, kind, issuer, subject, secret, created_at)
SELECT accounts.id, ?, ?, ?, ?, ? FROM accounts WHERE id = ? AND disabled_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM identities WHERE kind = ? AND ({which}))
    AND (SELECT count(*) FROM identities WHERE account_id = accounts.id) < ?
    AND NOT EXISTS (SELECT 1 FROM identities
        WHERE account_id = accounts.id AND kind = 'password' AND kind = ?)
"""
# A duplicate under the new spelling stays: the older row is the one that is found.
_RESPELL = """
UPDATE OR IGNORE identities SET issuer = ?, subject = ?, secret = ?
WHERE kind = ? AND issuer = ? AND subject = ? AND account_id = ?
"""
_REMOVE = """
DELETE FROM identities WHERE kind = ?1 AND issuer = ?2 AND subject = ?3 AND account_id = ?4
    AND (SELECT count(*) FROM identities WHERE account_id = ?4) > 1
"""
_LIST = """
SELECT kind, issuer, subject, created_at FROM identities WHERE account_id = ?
ORDER BY created_at, kind, issuer, subject
"""
_ACCOUNT = "SELECT id, role, created_at, last_active_at, disabled_at FROM accounts WHERE id = ?"
_SESSION = """
SELECT 1 AS one FROM sessions
WHERE id = ? AND account_id = ? AND revoked_at IS NULL AND expires_at > ?
"""
_ERASE = "DELETE FROM accounts WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Way:
    """
    A way in that was proved. *spellings* are pairs (issuer, subject), the one to keep first.

    *secret* is what a session is begun with: while it stands, the way does
    (`worker.identity.sessions`).
    """

    kind: Kind
    spellings: Sequence[Sequence[str]]
    secret: str

    @property
    def which(self) -> str:
        """The condition that finds any spelling; it has no value in it."""
        return " OR ".join([_SPELT] * len(self.spellings))

    @property
    def flat(self) -> list[str]:
        """The values for `which`."""
        return [part for spelling in self.spellings for part in spelling]


@dataclass(frozen=True, slots=True)
class Held:
    """A way in as an account has it."""

    account_id: str
    issuer: str
    subject: str
    secret: str


async def find(env: Env, way: Way) -> Held | None:
    """Return who has *way* under any of its spellings."""
    statement = env.db.prepare(_FIND.format(which=way.which))
    row = await statement.bind(way.kind, *way.flat).first()
    return row and Held(row["account_id"], row["issuer"], row["subject"], row["secret"] or "")


async def account_for(env: Env, way: Way) -> Held:
    """
    Return the account that *way* leads to; the first time one is made.

    Found under an old spelling it is kept under the first one from now on.
    """
    found = await find(env, way)
    if found is None:
        await _make(env, way)
        found = await find(env, way)
        if found is None:
            # Made, found to exist and removed again, all at this moment.
            raise Conflict("The account changed meanwhile; try again.")
    issuer, subject = way.spellings[0]
    if (found.issuer, found.subject) != (issuer, subject):
        old = (way.kind, found.issuer, found.subject, found.account_id)
        done = await env.db.prepare(_RESPELL).bind(issuer, subject, way.secret, *old).run()
        if done.meta.changes:
            return Held(found.account_id, issuer, subject, way.secret)
    return found


async def _make(env: Env, way: Way) -> None:
    """Make an account with this one way in, unless somebody was faster: all of it or nothing."""
    now_ms = env.now_ms()
    account_id = uuid7(now_ms, env.tools.random_bytes(10))
    account = env.db.prepare(_NEW_ACCOUNT.format(which=way.which))
    await env.db.batch(
        [
            account.bind(account_id, now_ms, now_ms, way.kind, *way.flat),
            _adding(env, account_id, way, now_ms),
        ]
    )


async def add(env: Env, account_id: str, way: Way) -> None:
    """
    Give an account one more way in; one that it has already is fine.

    Raises `IdentityTaken`, and `Conflict` for a second password and for too many ways.
    """
    done = await _adding(env, account_id, way, env.now_ms()).run()
    if done.meta.changes == 1:
        return
    found = await find(env, way)
    if found is None:
        raise Conflict("The account has a password already, or too many ways in.")
    if found.account_id != account_id:
        raise IdentityTaken("It is a way into another account; remove it there first.")
    if way.kind == "password":
        raise Conflict("The account has a username and a password already.")


def _adding(env: Env, account_id: str, way: Way, now_ms: int) -> Any:
    issuer, subject = way.spellings[0]
    return env.db.prepare(_ADD.format(which=way.which)).bind(
        way.kind,
        issuer,
        subject,
        way.secret,
        now_ms,
        account_id,
        way.kind,
        *way.flat,
        IDENTITIES_MOST,
        way.kind,
    )


async def remove(env: Env, account_id: str, row: dict[str, Any]) -> bool:
    """Remove a way in that `ways` told; False when it is the last, or gone."""
    values = (row["kind"], row["issuer"], row["subject"], account_id)
    return (await env.db.prepare(_REMOVE).bind(*values).run()).meta.changes == 1


async def ways(env: Env, account_id: str) -> list[dict[str, Any]]:
    """Return kind, issuer, subject and created_at of the ways into an account, oldest first."""
    return (await env.db.prepare(_LIST).bind(account_id).all()).results


async def session_holds(env: Env, account_id: str, session_id: str) -> bool:
    """Whether a session of the account has not ended."""
    statement = env.db.prepare(_SESSION).bind(session_id, account_id, env.now_ms())
    return await statement.first() is not None


async def account(env: Env, account_id: str) -> dict[str, Any] | None:
    """Return the row of an account."""
    found: dict[str, Any] | None = await env.db.prepare(_ACCOUNT).bind(account_id).first()
    return found


async def erase(env: Env, account_id: str) -> None:
    """Remove an account with its ways in; its sessions end before by `worker.identity.sessions`."""
    await env.db.prepare(_ERASE).bind(account_id).run()
