"""Registration with a username and a password."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from d1_schema.contract import D1Statement
from worker.accounts import passwords, store
from worker.accounts.model import Entry, Fault, fault
from worker.codec import uuid7
from worker.env import Env
from worker.errors import Unprocessable
from worker.identity.sessions import Grant, SignIn, begin
from worker.identity.usernames import RULE, fold

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
    username, secret = await make(env, account_id, entry.username, entry.password, also=also)
    who = SignIn(account_id, "password", entry.device_id, entry.label, secret)
    return username, await begin(env, who, entry.audience)


async def make(
    env: Env,
    account_id: str,
    name: str,
    typed: str,
    *,
    role: store.Role = "owner",
    also: Sequence[D1Statement] = (),
) -> tuple[str, str]:
    """
    Make the account *account_id* with the username *name* and the password *typed*, and *also*.

    Returns the folded username and the password's hash. Raises `Unprocessable` for a name or
    password that will not do, `UsernameTaken`, `Busy`.
    """
    username, secret = await chosen(env, name, typed, "The account cannot be made so.")
    await store.create(env, account_id, username, secret, also, role)
    return username, secret


def new_account_id(env: Env) -> str:
    """Return the id of an account that is about to be made."""
    return uuid7(env.now_ms(), env.tools.random_bytes(10))


async def chosen(env: Env, name: str, typed: str, refusal: str) -> tuple[str, str]:
    """
    Return a username that is free, folded, and the hash of a password that may be chosen.

    Raises `Unprocessable`, with *refusal*, for a name or password that will not do,
    `UsernameTaken`, `Busy`.
    """
    faults: list[Fault] = []
    username = ""
    try:
        username = fold(name)
    except ValueError:
        faults.append(fault("username", "pattern", RULE))
    password, more = passwords.choose(typed, username)
    faults += more
    if faults:
        raise Unprocessable(refusal, errors=faults)
    # Asked first only to spare a hash; the insert that follows decides.
    if await store.find(env, username) is not None:
        raise store.taken()
    return username, await env.tools.crypto.hash_password(password)
