"""The doors of a password: registration, sign-in, change (facts/seeds.md 2.004, X36, X43)."""

from collections.abc import Awaitable, Callable
from typing import Any

from worker.accounts import sign_in
from worker.accounts.doors.answers import NO_STORE, granted
from worker.accounts.model import SIGN_IN_BYTES, Members, fault, read_entry
from worker.env import Env
from worker.errors import Unauthorized, Unprocessable
from worker.identity import cookies
from worker.identity.caller import Caller
from worker.identity.sign_in_guard import guarded, trust
from worker.identity.tokens import Audience
from worker.web import Request, Response

Door = Callable[[Request, Caller, Env], Awaitable[Response]]


async def _nothing(_env: Env, _account_id: str, _body: dict[str, Any]) -> tuple[()]:
    return ()


def register(
    audience: Audience,
    status: int,
    also: sign_in.Also = _nothing,
    body_bytes: int = SIGN_IN_BYTES,
) -> Door:
    """
    Return a door that makes an account and signs it in, with a token for *audience*.

    *also* is what another area makes with the account, from a body of at most *body_bytes* (the
    table of doors brings both together).
    """

    async def door(request: Request, caller: Caller, env: Env) -> Response:
        members = await Members.of(request, limit=body_bytes)
        entry = read_entry(members, audience)
        if entry.cookies:
            cookies.check_origin(request, env)
        account_id = sign_in.new_account_id(env)
        statements = await also(env, account_id, members.body)
        username, grant = await sign_in.register(env, entry, statements, account_id)
        await trust(env, request.remote, username, entry.device_id)
        return granted(env, grant, in_cookies=entry.cookies, status=status, username=username)

    return door


def begin_session(audience: Audience) -> Door:
    """Return a door that signs in, with a token for *audience* where none is asked for."""

    async def door(request: Request, caller: Caller, env: Env) -> Response:
        entry = read_entry(await Members.of(request), audience)
        if entry.cookies:
            cookies.check_origin(request, env)
        name = sign_in.folded(entry)
        async with guarded(env, request.remote, name, entry.device_id):
            username, grant = await sign_in.sign_in(env, entry)
        return granted(env, grant, in_cookies=entry.cookies, username=username)

    return door


async def change_password(request: Request, caller: Caller, env: Env) -> Response:
    """Change the caller's password; its other sessions end."""
    members = await Members.of(request)
    current = members.text("current_password", needed=False)
    typed = members.text("new_password")
    members.done()
    named = await sign_in.password_of(env, caller)
    if not current:
        members.fault("current_password", "required", "current_password is missing.")
        members.done()
    try:
        async with guarded(env, request.remote, named.subject):
            await sign_in.judge(env, named, current)
    except Unauthorized:
        wrong = fault("current_password", "mismatch", "This is not the present password.")
        raise Unprocessable("The password was not changed.", errors=[wrong]) from None
    await sign_in.change_password(env, caller, named, typed)
    return Response(None, 204, dict(NO_STORE))
