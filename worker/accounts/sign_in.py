"""Sign-in with a password, and its change."""

from worker.accounts import passwords, store
from worker.accounts.model import Entry, fault
from worker.crypto import UnknownHash
from worker.env import Env
from worker.errors import Busy, Conflict, Unauthorized, Unprocessable
from worker.identity.caller import Caller
from worker.identity.sessions import Grant, SignIn, begin
from worker.identity.tokens import CHALLENGE
from worker.identity.usernames import fold


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


async def change_password(env: Env, caller: Caller, current: str | None, typed: str) -> None:
    """
    Give the caller's account another password and end its other sessions.

    *current* is the present one, judged when it is given. Raises `Unprocessable` naming the member,
    `Conflict` when the account has no password, `Busy`.
    """
    ways = await store.identities(env, caller.subject)
    named = next((way for way in ways if way.kind == "password"), None)
    if named is None or named.secret is None:
        raise Conflict("This account has no username and password.")
    if current is not None:
        password = passwords.usable(current)
        if not await _holds(env, named.secret, password or "") or password is None:
            wrong = fault("current_password", "mismatch", "This is not the present password.")
            raise Unprocessable("The password was not changed.", errors=[wrong])
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


async def _rehash(env: Env, found: store.Credential, password: str) -> None:
    """Hash a password anew with today's parameters; the next sign-in tries again if this fails."""
    try:
        secret = await env.tools.crypto.hash_password(password)
    except Busy:
        return
    await store.rehash(env, found.account_id, found.secret, secret)
