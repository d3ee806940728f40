"""
Sessions: a person who has signed in, on one device, until the session ends.

A session hands out short access tokens and one refresh token at a time. Each refresh spends it and
gives the next; a spent one that is shown again means that two hold it, so the whole session ends
(facts/seeds.md §3.3; RFC 9700 §4.14.2). Kept here: the hash of the one token that holds.

An answer may be lost, and two tabs may ask at once: for REFRESH_GRACE_SECONDS, and while its
successor is unused, a spent token gives that same successor again. The successor is not kept: it is
made from the spent token under a key, so only who shows the one is given the other.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from d1_schema.contract import D1Statement
from worker.codec import b64url, open_cursor, seal_cursor, uuid7
from worker.env import Env
from worker.errors import RefreshReused, Unauthorized
from worker.identity.tokens import CHALLENGE, Audience, issue
from worker.limits import LIST_MAX

# What a role may do beside looking after its own things.
ROLE_SCOPES: dict[str, tuple[str, ...]] = {
    "owner": (),
    "participant": (),
    "admin": (
        *("accounts:admin", "profiles:audit", "profiles:export", "profiles:import"),
        "profiles:read",
    ),
}
_DAY_MS = 86_400_000
_PURPOSE = "refresh"
_SALT_BYTES = 16
# Later than any moment.
_NEVER_MS = 2**52

_BEGIN = """
INSERT INTO sessions (id, account_id, method, auth_time, device_id, label, generation, refresh_hash,
    created_at, last_used_at, expires_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?8, ?9 FROM accounts
WHERE id = ?2 AND disabled_at IS NULL AND (?10 = '' OR EXISTS (
    SELECT 1 FROM identities WHERE account_id = ?2 AND kind = ?3 AND secret = ?10))
RETURNING (SELECT role FROM accounts WHERE id = ?2) AS role
"""
_ROTATE = """
UPDATE sessions SET refresh_hash = ?1, generation = generation + 1, last_used_at = ?2,
    expires_at = ?3
WHERE id = ?4 AND refresh_hash = ?5 AND revoked_at IS NULL AND expires_at > ?2
    AND EXISTS (SELECT 1 FROM accounts WHERE id = sessions.account_id AND disabled_at IS NULL)
RETURNING account_id, auth_time,
    (SELECT role FROM accounts WHERE id = sessions.account_id) AS role,
    (SELECT last_active_at FROM accounts WHERE id = sessions.account_id) AS last_active_at
"""
_AGAIN = """
SELECT account_id, auth_time, expires_at,
    (SELECT role FROM accounts WHERE id = sessions.account_id) AS role
FROM sessions
WHERE id = ?1 AND refresh_hash = ?2 AND revoked_at IS NULL AND expires_at > ?3
    AND abs(?3 - last_used_at) < ?4
    AND EXISTS (SELECT 1 FROM accounts WHERE id = sessions.account_id AND disabled_at IS NULL)
"""
_ACTIVE = """
UPDATE accounts SET last_active_at = ?2
WHERE id = ?1 AND last_active_at < ?2 - ?3 AND disabled_at IS NULL
"""
# Never before the newest token was given out, also when the clock was set back meanwhile: hosts
# look at the revocations of as long as a token lives.
_END = """
UPDATE sessions SET revoked_at = max(?1, last_used_at) WHERE revoked_at IS NULL AND {which}
RETURNING id, account_id
"""
_ENDED = "SELECT id, account_id FROM sessions WHERE revoked_at > ? AND account_id <> ''"
_SPENT = "id = ?2 AND generation > ?3 AND expires_at > ?1"
_LIST = """
SELECT id, method, device_id, label, created_at, last_used_at, expires_at FROM sessions
WHERE account_id = ?1 AND revoked_at IS NULL AND expires_at > ?2
    AND (last_used_at < ?3 OR last_used_at = ?3 AND id > ?4)
ORDER BY last_used_at DESC, id LIMIT ?5
"""
_FORGET = """
UPDATE sessions SET account_id = '', device_id = '', label = '', refresh_hash = ''
WHERE account_id = ?
"""
_HAS = "SELECT 1 AS one FROM sessions WHERE id = ? AND account_id = ?"
# An ended session is looked at as long as an access token of it may live; a day is more.
_PURGE = "DELETE FROM sessions WHERE expires_at < ?1 OR revoked_at < ?1"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sign-in or a refresh gives: times in epoch seconds; the tokens are secrets."""

    session_id: str
    account_id: str
    token: str
    expires_at: int
    refresh_token: str
    refresh_expires_at: int


@dataclass(frozen=True, slots=True)
class SignIn:
    """
    A person proved who they are: *method* is the kind of the identity.

    *secret* is the stored secret by which the proof was judged: when it was replaced meanwhile,
    the proof no longer counts.
    """

    account_id: str
    method: str
    device_id: str = ""
    label: str = ""
    secret: str = ""


async def begin(env: Env, who: SignIn, audience: Audience = "api") -> Grant:
    """
    Open a session for a proven person.

    Raises `Unauthorized` when the account is disabled, or *who.secret* is no longer its.
    """
    now_ms = env.now_ms()
    session_id = uuid7(now_ms, env.tools.random_bytes(10))
    refresh_token = _make(env, session_id, 0, env.tools.random_bytes(_SALT_BYTES))
    ends_ms = now_ms + env.settings.refresh_token_days * _DAY_MS
    auth_time = now_ms // 1000
    opening = env.db.prepare(_BEGIN).bind(
        session_id,
        who.account_id,
        who.method,
        auth_time,
        who.device_id,
        who.label,
        _hash(refresh_token),
        now_ms,
        ends_ms,
        who.secret,
    )
    opened, _ = await env.db.batch([opening, _active(env, who.account_id, now_ms)])
    if not opened.results:
        raise Unauthorized("This account cannot sign in.", headers=CHALLENGE)
    role = opened.results[0]["role"]
    found = {"account_id": who.account_id, "auth_time": auth_time, "role": role}
    return _grant(env, session_id, found, refresh_token, ends_ms, audience)


async def refresh(env: Env, refresh_token: str, audience: Audience = "api") -> Grant:
    """
    Spend *refresh_token* and return what follows it, the same when it was spent a moment ago.

    Raises `RefreshReused` (the session ends) for a spent one, `Unauthorized` for any other that
    does not hold.
    """
    session_id, generation = _unseal(env, refresh_token)
    now_ms = env.now_ms()
    following = _successor(env, refresh_token, session_id, generation)
    ends_ms = now_ms + env.settings.refresh_token_days * _DAY_MS
    row = (
        await env.db.prepare(_ROTATE)
        .bind(_hash(following), now_ms, ends_ms, session_id, _hash(refresh_token))
        .first()
    )
    if row is None and (row := await _again(env, session_id, following, now_ms)) is not None:
        return _grant(env, session_id, row, following, row["expires_at"], audience)
    if row is None:
        # It was given out by us: either a later one was too, or the session has ended.
        if await _end(env, _SPENT, session_id, generation):
            env.log.event("warning", "refresh_reused", session_id=session_id)
            raise RefreshReused(
                "This refresh token was used before; the session has ended.", headers=CHALLENGE
            )
        raise _refused()
    if row["last_active_at"] < now_ms - _DAY_MS:
        env.tools.wait_until(_active(env, row["account_id"], now_ms).run())
    return _grant(env, session_id, row, following, ends_ms, audience)


async def _again(env: Env, session_id: str, following: str, now_ms: int) -> dict[str, Any] | None:
    """Return the session if *following* is its unused token, given out within the time of grace."""
    grace_ms = env.settings.refresh_grace_seconds * 1000
    asked = env.db.prepare(_AGAIN).bind(session_id, _hash(following), now_ms, grace_ms)
    row: dict[str, Any] | None = await asked.first()
    return row


def access_token(
    env: Env,
    account_id: str,
    role: str,
    session_id: str,
    auth_time: int,
    *,
    audience: Audience,
    until: float,
) -> str:
    """Return an access token of a session that lives until *until* (epoch seconds)."""
    now = env.tools.now()
    scopes = ROLE_SCOPES[role] if audience == "api" else ()
    return issue(
        env.settings.signing_keys,
        account_id,
        scopes,
        now,
        (until - now) / 60,
        audience=audience,
        sid=session_id,
        role=role,
        auth_time=auth_time,
    )


def session_of(env: Env, refresh_token: str) -> str:
    """Return the id of the session of a refresh token of ours, also a spent one; `Unauthorized`."""
    return _unseal(env, refresh_token)[0]


async def end(env: Env, account_id: str, session_id: str) -> bool:
    """End one session of an account, if it has not ended; False when the account has none such."""
    if await _end(env, "id = ?2 AND account_id = ?3", session_id, account_id):
        return True
    return await env.db.prepare(_HAS).bind(session_id, account_id).first() is not None


async def end_held(env: Env, refresh_token: str) -> None:
    """End the session of a refresh token; raises `Unauthorized` when it is not one of ours."""
    await _end(env, "id = ?2", session_of(env, refresh_token))


async def end_all(env: Env, account_id: str, keep: str = "") -> int:
    """End every session of an account but *keep*; return how many."""
    return await _end(env, "account_id = ?2 AND id <> ?3", account_id, keep)


async def end_all_with(env: Env, statement: D1Statement, account_id: str, keep: str = "") -> int:
    """
    Run *statement* and end every session of an account but *keep*: both or neither.

    Returns how many rows the statement changed.
    """
    done, ended = await env.db.batch(
        [statement, _ending(env, "account_id = ?2 AND id <> ?3", account_id, keep)]
    )
    await _told(env, ended.results)
    return done.meta.changes


async def page(
    env: Env, account_id: str, limit: int, after: Sequence[Any] | None
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """
    Return sessions of an account that hold, the one used last first (times in ms).

    They begin behind *after*; with them comes what stands for the last one, None at the end.
    """
    used, session_id = after or (_NEVER_MS, "")
    values = (account_id, env.now_ms(), used, session_id, limit + 1)
    rows = (await env.db.prepare(_LIST).bind(*values).all()).results
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], [last["last_used_at"], last["id"]]


async def living(env: Env, account_id: str) -> list[dict[str, Any]]:
    """Return all sessions of an account that hold, as `page` does."""
    rows, after = await page(env, account_id, LIST_MAX, None)
    while after is not None:
        more, after = await page(env, account_id, LIST_MAX, after)
        rows += more
    return rows


async def forget(env: Env, account_id: str) -> None:
    """Let the sessions of an account that goes say nothing but that they have ended."""
    await env.db.prepare(_FORGET).bind(account_id).run()


async def purge_sessions(env: Env) -> None:
    """Remove sessions that ended more than a day ago."""
    await env.db.prepare(_PURGE).bind(env.now_ms() - _DAY_MS).run()


async def _end(env: Env, which: str, *values: str | int) -> int:
    rows = (await _ending(env, which, *values).all()).results
    await _told(env, rows)
    return len(rows)


async def _told(env: Env, ended: list[dict[str, Any]]) -> None:
    """Refuse the tokens of these sessions from now on, and close their sockets."""
    env.access.ended([row["id"] for row in ended], env.tools.now())
    await close_sockets(env, ended)


async def ended_since(env: Env, since_ms: int) -> list[dict[str, Any]]:
    """Return `id` and `account_id` of the sessions that ended later than *since_ms*."""
    return (await env.db.prepare(_ENDED).bind(since_ms).all()).results


async def close_sockets(env: Env, ended: Iterable[dict[str, Any]]) -> None:
    """Close the sockets of ended sessions; each is a row with `id` and `account_id`."""
    by_account: dict[str, list[str]] = {}
    # An operator's verb has no actors: the host beside it finds out by itself.
    for row in ended if hasattr(env, "inbox") else ():
        by_account.setdefault(row["account_id"], []).append(row["id"])
    for account_id, session_ids in by_account.items():
        try:
            await env.inbox.get_by_name(account_id).call("sessions_ended", session_ids)
        except Exception as error:
            # They have ended all the same: an inbox asks before anything passes.
            env.log.error("sockets_not_closed", error)


def _ending(env: Env, which: str, *values: str | int) -> D1Statement:
    return env.db.prepare(_END.format(which=which)).bind(env.now_ms(), *values)


def _grant(
    env: Env,
    session_id: str,
    row: dict[str, Any],
    refresh_token: str,
    ends_ms: int,
    audience: Audience,
) -> Grant:
    ends = int(env.tools.now()) + env.settings.access_token_minutes * 60
    token = access_token(
        env,
        row["account_id"],
        row["role"],
        session_id,
        row["auth_time"],
        audience=audience,
        until=ends,
    )
    return Grant(session_id, row["account_id"], token, ends, refresh_token, ends_ms // 1000)


def _active(env: Env, account_id: str, now_ms: int) -> D1Statement:
    return env.db.prepare(_ACTIVE).bind(account_id, now_ms, _DAY_MS)


def _make(env: Env, session_id: str, generation: int, salt: bytes) -> str:
    position = [session_id, generation, salt.hex()]
    return seal_cursor(env.settings.session_key.reveal(), _PURPOSE, position)


def _successor(env: Env, refresh_token: str, session_id: str, generation: int) -> str:
    """Return the one token that follows *refresh_token*: nobody makes it without our key."""
    text = b"refresh-successor\0" + refresh_token.encode()
    salt = hmac.digest(env.settings.session_key.reveal(), text, "sha256")[:_SALT_BYTES]
    return _make(env, session_id, generation + 1, salt)


def _unseal(env: Env, refresh_token: str) -> tuple[str, int]:
    try:
        key = env.settings.session_key.reveal()
        session_id, generation, _ = open_cursor(key, _PURPOSE, refresh_token)
    except ValueError:
        raise _refused() from None
    return session_id, generation


def _hash(refresh_token: str) -> str:
    return b64url(hashlib.sha256(refresh_token.encode()).digest())


def _refused() -> Unauthorized:
    return Unauthorized("The refresh token is not valid or has expired.", headers=CHALLENGE)
