"""Sign-up and sign-in with a username and a password, and the change of a password."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from d1_schema.contract import D1Statement
from worker.accounts import passwords, store
from worker.accounts.model import Credential, Entry, Fault, HeldWay, Role, fault
from worker.codec import uuid7
from worker.crypto import UnknownHash
from worker.env import Env
from worker.errors import Busy, Conflict, Unauthorized, Unprocessable
from worker.identity.caller import Caller
from worker.identity.sessions import Grant, SignIn, begin
from worker.identity.tokens import CHALLENGE
from worker.identity.usernames import RULE, fold, is_reserved

# What another area makes with an account: statements of the same batch, from the account's id and
# the body's members. It raises `BadRequest` for members that will not do.
Also = Callable[[Env, str, dict[str, Any]], Awaitable[Sequence[D1Statement]]]


async def register(
    env: Env, entry: Entry, also: Sequence[D1Statement], account_id: str
) -> tuple[str, Grant]:
    """
    Make the account *account_id* and sign it in; return its username and what it may show.

    Raises what `make` raises.
    """
    username, secret = await make(
        env, account_id, entry.username, entry.password, by_anyone=True, also=also
    )
    who = SignIn(account_id, "password", entry.device_id, entry.label, secret)
    return username, await begin(env, who, entry.audience)


async def make(
    env: Env,
    account_id: str,
    name: str,
    typed: str,
    *,
    role: Role = "owner",
    by_anyone: bool = False,
    also: Sequence[D1Statement] = (),
) -> tuple[str, str]:
    """
    Make the account *account_id* with the username *name* and the password *typed*, and *also*.

    Returns the folded username and the password's hash. Raises `Unprocessable` for a name or
    password that will not do, `UsernameTaken`, `Busy`.
    """
    refusal = "The account cannot be made so."
    username, secret = await chosen(env, name, typed, refusal, by_anyone=by_anyone)
    await store.create(env, account_id, username, secret, also, role)
    return username, secret


def new_account_id(env: Env) -> str:
    """Return the id of an account that is about to be made."""
    return uuid7(env.now_ms(), env.tools.random_bytes(10))


async def chosen(
    env: Env, name: str, typed: str, refusal: str, *, by_anyone: bool = True
) -> tuple[str, str]:
    """
    Return a username that is free, folded, and the hash of a password that may be chosen.

    Operators may choose reserved names; *by_anyone*: it is not an operator who chooses.
    Raises `Unprocessable`, with *refusal*, for a name or password that will not do,
    `UsernameTaken`, `Busy`.
    """
    faults: list[Fault] = []
    username = ""
    try:
        username = fold(name)
    except ValueError:
        faults.append(fault("username", "pattern", RULE))
    if by_anyone and is_reserved(env, username):
        faults.append(fault("username", "reserved", "Nobody may have this username."))
    password, more = passwords.choose(typed, username)
    faults += more
    if faults:
        raise Unprocessable(refusal, errors=faults)
    # Asked first only to spare a hash; the insert that follows decides.
    if await store.find(env, username) is not None:
        raise store.taken()
    return username, await env.tools.crypto.hash_password(password)


async def sign_in(env: Env, entry: Entry) -> tuple[str, Grant]:
    """
    Return the username and what opens doors.

    Raises `Unauthorized`, in the same words and after the same work, for a wrong password, a name
    that nobody has or can have, and a disabled account; `Busy` when too many sign in.
    """
    password = passwords.usable(entry.password)
    username = folded(entry)
    judged: str | None = None
    # A second time only when the hash was replaced between judging and opening a session.
    for _ in range(2):
        found = await store.find(env, username)
        secret = found.secret if found is not None else env.tools.crypto.decoy()
        if secret == judged:
            break
        held = await _holds(env, secret, password or "")
        if found is None or found.disabled or password is None or not held:
            break
        who = SignIn(found.account_id, "password", entry.device_id, entry.label, secret)
        try:
            grant = await begin(env, who, entry.audience)
        except Unauthorized:
            judged = secret
            continue
        if env.tools.crypto.is_outdated(secret):
            env.tools.wait_until(_rehash(env, found, password))
        return username, grant
    raise Unauthorized("The username or the password is wrong.", headers=CHALLENGE)


def folded(entry: Entry) -> str:
    """Return the one spelling of the username, or "" for what none can be."""
    try:
        return fold(entry.username)
    except ValueError:
        return ""


async def password_of(env: Env, caller: Caller) -> HeldWay:
    """Return the caller's username and password; raises `Conflict` when the account has none."""
    ways = await store.ways(env, caller.subject)
    named = next((way for way in ways if way.kind == "password"), None)
    if named is None or not named.secret:
        raise Conflict("This account has no username and password.")
    return named


async def judge(env: Env, named: HeldWay, typed: str) -> None:
    """Raise `Unauthorized` unless *typed* is the present password of *named*, `Busy`."""
    password = passwords.usable(typed)
    if not await _holds(env, named.secret, password or "") or password is None:
        raise Unauthorized("This is not the present password.", headers=CHALLENGE)


async def change_password(env: Env, caller: Caller, named: HeldWay, typed: str) -> None:
    """
    Give the caller's account another password and end its other sessions.

    Raises `Unprocessable` naming the member, `Busy`.
    """
    password, faults = passwords.choose(typed, named.subject, "new_password")
    if faults:
        raise Unprocessable("The password was not changed.", errors=faults)
    secret = await env.tools.crypto.hash_password(password)
    await store.change_password(env, caller.subject, secret, caller.session_id)


async def _holds(env: Env, secret: str, password: str) -> bool:
    crypto = env.tools.crypto
    try:
        return await crypto.verify_password(secret, password)
    except UnknownHash:
        # Made by another platform, or damaged: the operator is told, the caller sees no difference.
        env.log.event("warning", "password_hash_unknown")
        await crypto.verify_password(crypto.decoy(), password)
        return False


async def _rehash(env: Env, found: Credential, password: str) -> None:
    """Hash a password anew with today's parameters; the next sign-in tries again if this fails."""
    try:
        secret = await env.tools.crypto.hash_password(password)
    except Busy:
        return
    await store.rehash(env, found.account_id, found.secret, secret)
