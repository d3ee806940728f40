"""All SQL of the slice: accounts and their ways in. Times are milliseconds since the epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from d1_schema.contract import D1Error, D1Statement
from worker.env import Env
from worker.errors import UsernameTaken
from worker.identity.sessions import end_all_with

Role = Literal["owner", "participant", "admin"]
ROLES: tuple[Role, ...] = ("owner", "participant", "admin")

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
_IDENTITIES = """
SELECT kind, subject, secret FROM identities WHERE account_id = ? ORDER BY created_at, kind
"""
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


@dataclass(frozen=True, slots=True)
class Credential:
    """Who has a username, and the hash of the password."""

    account_id: str
    secret: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """One way into an account. *secret* is the password's hash."""

    kind: str
    subject: str
    secret: str | None


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


async def identities(env: Env, account_id: str) -> list[Identity]:
    """Return the ways into an account, the oldest first."""
    rows = (await env.db.prepare(_IDENTITIES).bind(account_id).all()).results
    return [Identity(row["kind"], row["subject"], row["secret"]) for row in rows]


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
