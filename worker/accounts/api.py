"""The doors of registration and sign-in (issue 5; facts/seeds.md 2.004, X36, X43)."""

from collections.abc import Awaitable, Callable
from typing import Any

from worker.accounts import registration, sign_in
from worker.accounts.answers import NO_STORE, granted
from worker.accounts.model import Members, read_entry
from worker.env import Env
from worker.errors import Unauthorized
from worker.identity import cookies, sessions
from worker.identity.caller import Caller
from worker.identity.once import purge_spent
from worker.identity.sign_in_guard import guarded
from worker.identity.tokens import CHALLENGE, Audience
from worker.limits import SIGN_IN_BYTES
from worker.web import Request, Response

Door = Callable[[Request, Caller, Env], Awaitable[Response]]


async def _nothing(_env: Env, _account_id: str, _body: dict[str, Any]) -> tuple[()]:
    return ()


def register(
    audience: Audience,
    status: int,
    also: registration.Also = _nothing,
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
        account_id = registration.new_account_id(env)
        statements = await also(env, account_id, members.body)
        username, grant = await registration.register(env, entry, statements, account_id)
        return granted(env, grant, in_cookies=entry.cookies, status=status, username=username)

    return door


def begin_session(audience: Audience) -> Door:
    """Return a door that signs in, with a token for *audience* where none is asked for."""

    async def door(request: Request, caller: Caller, env: Env) -> Response:
        entry = read_entry(await Members.of(request), audience)
        if entry.cookies:
            cookies.check_origin(request, env)
        async with guarded(env, request.remote, sign_in.folded(entry)):
            username, grant = await sign_in.sign_in(env, entry)
        return granted(env, grant, in_cookies=entry.cookies, username=username)

    return door


async def refresh(request: Request, caller: Caller, env: Env) -> Response:
    """Spend a refresh token, of the body or (with its proof) of a page's cookie; give the next."""
    members = await Members.of(request, needed=False)
    shown = members.text("refresh_token", needed=False)
    audience = members.audience("api")
    in_cookies = not shown
    if in_cookies and audience != "api":
        members.fault("audience", "enum", "With cookies the audience is api.")
    members.done()
    if in_cookies:
        shown = cookies.read(request.headers).get(cookies.REFRESH, "")
        if not shown:
            raise Unauthorized("Send a refresh_token.", headers=CHALLENGE)
        cookies.check_csrf(request, env, sessions.session_of(env, shown))
    grant = await sessions.refresh(env, shown, audience)
    return granted(env, grant, in_cookies=in_cookies)


async def change_password(request: Request, caller: Caller, env: Env) -> Response:
    """Change the caller's password; its other sessions end."""
    members = await Members.of(request)
    current = members.text("current_password", needed=False)
    typed = members.text("new_password")
    members.done()
    given = current if "current_password" in members.body else None
    await sign_in.change_password(env, caller, given, typed)
    return Response(None, 204, dict(NO_STORE))


async def purge(env: Env) -> None:
    """Remove what was used up and sessions that ended: the hourly job."""
    await purge_spent(env)
    await sessions.purge_sessions(env)
