"""
All SQL of the slice: accounts and their ways in. Times are milliseconds since the epoch.

A way that is kept under several spellings (an e-mail hash under each look-up key) is one way: it
belongs to nobody as long as none of them does.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from d1_schema.contract import D1Error, D1Statement
from worker.accounts.errors import IdentityTaken, UsernameTaken
from worker.accounts.model import Credential, HeldWay, Role, Way
from worker.codec import uuid7
from worker.env import Env
from worker.errors import Conflict
from worker.identity.sessions import end_all_with

# Ways into one account: more is a mistake of some program.
IDENTITIES_MOST = 50

_NAMED = "kind = 'password' AND issuer = '' AND subject = "
_FIND = f"""
SELECT account_id, secret, disabled_at IS NOT NULL AS disabled
FROM identities JOIN accounts ON accounts.id = account_id WHERE {_NAMED} ?
"""  # noqa: S608 - no value in it
_NEW_ACCOUNT = """
INSERT INTO accounts (id, role, created_at, last_active_at) VALUES (?1, ?3, ?2, ?2)
"""
_NEW_IDENTITY = """
INSERT INTO identities (account_id, kind, issuer, subject, secret, created_at)
VALUES (?, 'password', '', ?, ?, ?)
"""
_REHASH = """
UPDATE identities SET secret = ?1 WHERE account_id = ?2 AND kind = 'password' AND secret = ?3
"""
_CHANGE = "UPDATE identities SET secret = ? WHERE account_id = ? AND kind = 'password'"
_ROLE = "UPDATE accounts SET role = ? WHERE id = ?"
_DISABLE = "UPDATE accounts SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL"
_ENABLE = "UPDATE accounts SET disabled_at = NULL WHERE id = ?"
_EXISTS = "SELECT 1 AS one FROM accounts WHERE id = ?"
_LIST = """
SELECT id, role, created_at, last_active_at, disabled_at,
    (SELECT subject FROM identities WHERE account_id = accounts.id AND kind = 'password')
        AS username
FROM accounts WHERE id > ? ORDER BY id LIMIT ?
"""
_ONE = _LIST.replace("id > ? ORDER BY id LIMIT ?", "id = ?")


_SPELT = "(issuer = ? AND subject = ?)"
_FIND_WAY = """
SELECT account_id, kind, issuer, subject, ifnull(secret, '') AS secret, created_at
FROM identities WHERE kind = ? AND ({which})
ORDER BY created_at LIMIT 1
"""
_NEW_ACCOUNT_WITH = """
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
_WAYS = """
SELECT account_id, kind, issuer, subject, ifnull(secret, '') AS secret, created_at
FROM identities WHERE account_id = ?
ORDER BY created_at, kind, issuer, subject
"""
_SESSION = """
SELECT 1 AS one FROM sessions
WHERE id = ? AND account_id = ? AND revoked_at IS NULL AND expires_at > ?
"""
_ERASE = "DELETE FROM accounts WHERE id = ?"


# -- accounts and their passwords ------------------------------------------------------------------


async def find(env: Env, username: str) -> Credential | None:
    """Return who has the folded *username*, disabled accounts too."""
    row = await env.db.prepare(_FIND).bind(username).first()
    return row and Credential(row["account_id"], row["secret"], bool(row["disabled"]))


async def create(
    env: Env,
    account_id: str,
    username: str,
    secret: str,
    also: Sequence[D1Statement] = (),
    role: Role = "owner",
) -> None:
    """
    Make an account with a password, and run *also* with it: all of it or nothing.

    Raises `UsernameTaken`: of parallel registrations of one name exactly one goes through.
    """
    now_ms = env.now_ms()
    statements = [
        env.db.prepare(_NEW_ACCOUNT).bind(account_id, now_ms, role),
        env.db.prepare(_NEW_IDENTITY).bind(account_id, username, secret, now_ms),
        *also,
    ]
    try:
        await env.db.batch(statements)
    except D1Error as error:
        if error.code == "SQLITE_CONSTRAINT" and await find(env, username) is not None:
            raise taken() from None
        raise


def taken() -> UsernameTaken:
    """Return the refusal of a name that belongs to somebody."""
    return UsernameTaken("Choose another username.")


async def rehash(env: Env, account_id: str, old: str, new: str) -> None:
    """Replace the hash of the same password, unless the password was changed meanwhile."""
    await env.db.prepare(_REHASH).bind(new, account_id, old).run()


async def change_password(env: Env, account_id: str, secret: str, keep_session: str) -> bool:
    """
    Set a new password's hash and end all sessions but one; False when there is no password.

    A sign-in with the old password either has its session ended here or opens none any more.
    """
    change = env.db.prepare(_CHANGE).bind(secret, account_id)
    return await end_all_with(env, change, account_id, keep_session) > 0


# -- ways in ---------------------------------------------------------------------------------------


async def find_way(env: Env, way: Way) -> HeldWay | None:
    """Return who has *way* under any of its spellings."""
    statement = env.db.prepare(_FIND_WAY.format(which=_which(way)))
    row = await statement.bind(way.kind, *_flat(way)).first()
    return row and HeldWay(**row)


async def account_for(env: Env, way: Way) -> HeldWay:
    """
    Return the account that *way* leads to; the first time one is made.

    Found under an old spelling it is kept under the first one from now on.
    """
    found = await find_way(env, way)
    if found is None:
        await _make(env, way)
        found = await find_way(env, way)
        if found is None:
            # Made, found to exist and removed again, all at this moment.
            raise Conflict("The account changed meanwhile; try again.")
    issuer, subject = way.spellings[0]
    if (found.issuer, found.subject) != (issuer, subject):
        old = (way.kind, found.issuer, found.subject, found.account_id)
        done = await env.db.prepare(_RESPELL).bind(issuer, subject, way.secret, *old).run()
        if done.meta.changes:
            return replace(found, issuer=issuer, subject=subject, secret=way.secret)
    return found


async def _make(env: Env, way: Way) -> None:
    """Make an account with this one way in, unless somebody was faster: all of it or nothing."""
    now_ms = env.now_ms()
    account_id = uuid7(now_ms, env.tools.random_bytes(10))
    account = env.db.prepare(_NEW_ACCOUNT_WITH.format(which=_which(way)))
    await env.db.batch(
        [
            account.bind(account_id, now_ms, now_ms, way.kind, *_flat(way)),
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
    found = await find_way(env, way)
    if found is None:
        raise Conflict("The account has a password already, or too many ways in.")
    if found.account_id != account_id:
        raise IdentityTaken("It is a way into another account; remove it there first.")
    if way.kind == "password":
        raise Conflict("The account has a username and a password already.")


def _adding(env: Env, account_id: str, way: Way, now_ms: int) -> Any:
    issuer, subject = way.spellings[0]
    return env.db.prepare(_ADD.format(which=_which(way))).bind(
        way.kind,
        issuer,
        subject,
        way.secret,
        now_ms,
        account_id,
        way.kind,
        *_flat(way),
        IDENTITIES_MOST,
        way.kind,
    )


async def remove(env: Env, way: HeldWay) -> bool:
    """Remove a way in; False when it is the account's last, or gone."""
    values = (way.kind, way.issuer, way.subject, way.account_id)
    return (await env.db.prepare(_REMOVE).bind(*values).run()).meta.changes == 1


async def ways(env: Env, account_id: str) -> list[HeldWay]:
    """Return the ways into an account, the oldest first."""
    rows = (await env.db.prepare(_WAYS).bind(account_id).all()).results
    return [HeldWay(**row) for row in rows]


async def session_holds(env: Env, account_id: str, session_id: str) -> bool:
    """Whether a session of the account has not ended."""
    statement = env.db.prepare(_SESSION).bind(session_id, account_id, env.now_ms())
    return await statement.first() is not None


async def erase(env: Env, account_id: str) -> None:
    """Remove an account with its ways in; its sessions end before by `worker.identity.sessions`."""
    await env.db.prepare(_ERASE).bind(account_id).run()


def _which(way: Way) -> str:
    """Return the condition that finds any spelling; it has no value in it."""
    return " OR ".join([_SPELT] * len(way.spellings))


def _flat(way: Way) -> list[str]:
    """Return the values for `_which`."""
    return [part for spelling in way.spellings for part in spelling]


# -- for operators ---------------------------------------------------------------------------------


async def set_role(env: Env, account_id: str, role: Role) -> bool:
    """
    Give an account another role; False when there is no such account.

    Its sessions end, because their tokens still carry what the old role allowed.
    """
    change = env.db.prepare(_ROLE).bind(role, account_id)
    return await end_all_with(env, change, account_id) == 1


async def disable(env: Env, account_id: str) -> bool:
    """Close an account and end its sessions; nothing is deleted. False when there is none."""
    closing = env.db.prepare(_DISABLE).bind(env.now_ms(), account_id)
    await end_all_with(env, closing, account_id)
    return await env.db.prepare(_EXISTS).bind(account_id).first() is not None


async def enable(env: Env, account_id: str) -> bool:
    """Open a disabled account again; False when there is no such account."""
    done = await env.db.prepare(_ENABLE).bind(account_id).run()
    return done.meta.changes == 1


async def list_accounts(env: Env, after: str = "", limit: int = 100) -> list[dict[str, Any]]:
    """Return accounts in order of their ids, from behind *after*; username may be None."""
    return (await env.db.prepare(_LIST).bind(after, limit).all()).results


async def account(env: Env, account_id: str) -> dict[str, Any] | None:
    """Return one account as `list_accounts` does, or None."""
    row: dict[str, Any] | None = await env.db.prepare(_ONE).bind(account_id).first()
    return row
