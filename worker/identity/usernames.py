"""
Usernames: one spelling each, found by its folded form.

NFKC and lower case first, then 3 to 50 of a-z, 0-9 and _ (facts/seeds.md X41): names that differ in
case, width or compatibility forms are one name, and letters of other scripts that look Latin are
refused, so nobody can pose as somebody else. Blanks around a name are taken away, as from an e-mail
address: keyboards add them.

Some names nobody may choose: those that pose as the house, and the words of its own paths, where a
name may stand (`Env.reserved`). Accounts that have one already go on.
"""

import json
import re
import unicodedata
from collections.abc import Sequence

from worker.env import Env

_FOLDED = re.compile(r"[a-z0-9_]{3,50}", re.ASCII)
# Folding can make a text longer or shorter; nothing longer is worth folding.
_TYPED_CHARS = 200
_ACCOUNT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
RULE = "A username has 3 to 50 letters a to z, digits or underscores."
# Whom people take for the house (RFC 2142 names some of them).
_HOUSE = frozenset(
    (
        *("abuse", "admin", "administrator", "administrators", "admins", "anonymous", "edgekeep"),
        *("everybody", "everyone", "hostmaster", "mailerdaemon", "me", "moderator", "moderators"),
        *("nobody", "noreply", "null", "official", "operator", "operators", "owner", "participant"),
        *("postmaster", "root", "security", "self", "sysadmin", "sysop", "staff", "support"),
        *("system", "undefined", "webmaster"),
    )
)

_FIND = """
SELECT identities.account_id FROM identities JOIN accounts ON accounts.id = identities.account_id
WHERE kind = 'password' AND issuer = '' AND subject = ? AND disabled_at IS NULL
"""
_NAME = "SELECT subject FROM identities WHERE account_id = ? AND kind = 'password' AND issuer = ''"
_NAMES = """
SELECT account_id, subject FROM identities
WHERE account_id IN (SELECT value FROM json_each(?)) AND kind = 'password' AND issuer = ''
"""
_STANDS = "SELECT 1 AS one FROM accounts WHERE id = ?"
_EXISTS = "SELECT id FROM accounts WHERE id = ? AND disabled_at IS NULL"


def fold(typed: str) -> str:
    """Return the one spelling of *typed*; raises ValueError (with `RULE`) when there is none."""
    folded = unicodedata.normalize("NFKC", typed[: _TYPED_CHARS + 1]).lower().strip(" \t")
    if len(typed) > _TYPED_CHARS or not _FOLDED.fullmatch(folded):
        raise ValueError(RULE)
    return folded


def is_reserved(env: Env, folded: str) -> bool:
    """Whether nobody may choose the username; `_` makes no other word of one."""
    bare = folded.replace("_", "")
    return bare in _HOUSE or bare in env.reserved


async def account_of(env: Env, folded: str) -> str | None:
    """Return the id of the account that has the username, or None; disabled ones are not found."""
    found: str | None = await env.db.prepare(_FIND).bind(folded).first("account_id")
    return found


async def username_of(env: Env, account_id: str) -> str:
    """Return the username of an account, or "" when it signs in by other ways alone."""
    found: str | None = await env.db.prepare(_NAME).bind(account_id).first("subject")
    return found or ""


async def usernames_of(env: Env, account_ids: Sequence[str]) -> dict[str, str]:
    """Return the usernames of those accounts that have one."""
    rows = await env.db.prepare(_NAMES).bind(json.dumps(account_ids)).raw()
    return {row[0]: row[1] for row in rows}


def name_key(typed: str) -> str | None:
    """Return the one spelling, of at most 50 characters, of the username or account id *typed*."""
    if _ACCOUNT_ID.fullmatch(typed):
        return typed
    try:
        return fold(typed)
    except ValueError:
        return None


async def account_named(env: Env, key: str) -> str | None:
    """Return the account that a `name_key` stands for, unless it is disabled."""
    if _ACCOUNT_ID.fullmatch(key):
        found: str | None = await env.db.prepare(_EXISTS).bind(key).first("id")
        return found
    return await account_of(env, key)


async def find_account(env: Env, typed: str) -> str | None:
    """Return the account that *typed* names, a username or an account id, unless it is disabled."""
    key = name_key(typed)
    return None if key is None else await account_named(env, key)


async def is_gone(env: Env, account_id: str) -> bool:
    """Whether there is no such account, not even a disabled one."""
    return await env.db.prepare(_STANDS).bind(account_id).first() is None
