"""The doors of a session that exists: refresh, who am I, other tokens, tickets, list, sign-out."""

from contextlib import suppress
from typing import Any

from worker.accounts import store
from worker.accounts.doors.answers import NO_STORE, granted
from worker.accounts.model import Members
from worker.codec import iso_time
from worker.env import Env
from worker.errors import BadRequest, Forbidden, NotFound, Unauthorized
from worker.identity import cookies, sessions
from worker.identity.caller import PERSON, Caller, identify
from worker.identity.once import purge_spent
from worker.identity.sessions import ROLE_SCOPES
from worker.identity.tokens import CHALLENGE, issue
from worker.limiter.stored import purge_counters
from worker.web import Request, Response
from worker.wire import paging

# A ticket for a WebSocket: long enough to open it, and it holds once (facts/seeds.md §3.3).
TICKET_SECONDS = 30
_LIST = "sessions"


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
        shown = cookies.read(request, env).get(cookies.REFRESH, "")
        if not shown:
            raise Unauthorized("Send a refresh_token.", headers=CHALLENGE)
        cookies.check_csrf(request, env, sessions.session_of(env, shown))
    grant = await sessions.refresh(env, shown, audience)
    return granted(env, grant, in_cookies=in_cookies)


async def who_am_i(request: Request, caller: Caller, env: Env) -> Response:
    """Answer what a page needs to know of its session."""
    ways = await store.ways(env, caller.subject)
    username = next((way.subject for way in ways if way.kind == "password"), None)
    body = {
        "account_id": caller.subject,
        "username": username,
        "role": caller.role,
        "scopes": sorted(caller.scopes),
        "session_id": caller.session_id,
        "auth_time": iso_time(caller.auth_time),
        "expires_at": iso_time(caller.expires_at),
        "identities": [way.kind for way in ways],
    }
    return Response.json(body, headers=NO_STORE)


async def other_token(request: Request, caller: Caller, env: Env) -> Response:
    """
    Answer an access token of another audience for the same session.

    It lives as long as the one it was asked with: only a refresh prolongs.
    """
    members = await Members.of(request)
    audience = members.audience(None)
    members.done()
    token = sessions.access_token(
        env,
        caller.subject,
        caller.role,
        caller.session_id,
        caller.auth_time,
        audience=audience,
        until=caller.expires_at,
    )
    body = {"token": token, "token_type": "Bearer", "expires_at": iso_time(caller.expires_at)}
    return Response.json(body, headers=NO_STORE)


async def ticket(request: Request, caller: Caller, env: Env) -> Response:
    """
    Answer a ticket: it opens one WebSocket, once, within half a minute.

    An address ends up in logs that are not ours; a used ticket is of no use there. A token for the
    API gives tickets of every audience, any other only its own.
    """
    members = await Members.of(request)
    audience = members.audience(None)
    members.done()
    if caller.audience not in ("api", audience):
        raise Forbidden("A token gives tickets for its own audience; one for the API for all.")
    text = issue(
        env.settings.signing_keys,
        caller.subject,
        ROLE_SCOPES[caller.role] if audience == "api" else (),
        env.tools.now(),
        TICKET_SECONDS / 60,
        audience=audience,
        kind="ticket+jwt",
        sid=caller.session_id,
        role=caller.role,
        auth_time=caller.auth_time,
        jti=env.tools.random_bytes(16).hex(),
    )
    return Response.json({"ticket": text, "expires_in": TICKET_SECONDS}, headers=NO_STORE)


async def list_sessions(request: Request, caller: Caller, env: Env) -> Response:
    """Answer a page of the caller's sessions, the one used last first."""
    start = paging.position(request, env, _LIST)
    rows, following = await sessions.page(env, caller.subject, paging.page_size(request), start)
    items = [_shown(row, caller.session_id) for row in rows]
    return Response.json({"items": items, **paging.rest(env, _LIST, following)}, headers=NO_STORE)


def _shown(row: dict[str, Any], current: str) -> dict[str, Any]:
    times = ("created_at", "last_used_at", "expires_at")
    return {
        "id": row["id"],
        "current": row["id"] == current,
        "method": row["method"],
        "device_id": row["device_id"] or None,
        "label": row["label"] or None,
        **{name: iso_time(row[name] / 1000) for name in times},
    }


async def end_session(request: Request, caller: Caller, env: Env) -> Response:
    """End one session of the caller, such as a lost device's; again is fine."""
    session_id = request.params["id"]
    if not await sessions.end(env, caller.subject, session_id):
        raise NotFound("You have no such session.")
    return _signed_out(request, clear=session_id == caller.session_id)


async def sign_out(request: Request, caller: Caller, env: Env) -> Response:
    """
    End the session at hand, or with ?everywhere=true all of the account; clear the cookies.

    Again is fine. A page whose access token has expired is known by its refresh cookie.
    """
    everywhere = _everywhere(request)
    if caller.method != "bearer":
        # Anything else may be a page; another site's must not even clear the cookies.
        cookies.check_origin(request, env)
        if not caller.known:
            with suppress(Unauthorized):
                caller = await identify(request, PERSON, env)
    if caller.known and not caller.session_id:
        raise Forbidden("This is for people who signed in, not for machines.")
    if caller.known and everywhere:
        await sessions.end_all(env, caller.subject)
    elif everywhere:
        raise Unauthorized("Sign in to sign out everywhere.", headers=CHALLENGE)
    elif caller.known:
        await sessions.end(env, caller.subject, caller.session_id)
    else:
        await _end_by_cookie(request, env)
    return _signed_out(request, clear=caller.method != "bearer")


async def _end_by_cookie(request: Request, env: Env) -> None:
    token = cookies.read(request, env).get(cookies.REFRESH)
    if token:
        with suppress(Unauthorized):
            cookies.check_csrf(request, env, sessions.session_of(env, token))
            await sessions.end_held(env, token)


def _everywhere(request: Request) -> bool:
    asked = request.query.get("everywhere", "false")
    if asked not in ("true", "false"):
        raise BadRequest("everywhere must be true or false.")
    return asked == "true"


def _signed_out(request: Request, *, clear: bool) -> Response:
    answer = Response(None, 204, dict(NO_STORE))
    if clear and request.headers.get("cookie") is not None:
        answer.cookies = cookies.cleared()
    return answer


async def purge(env: Env) -> None:
    """Remove what was used up, sessions that ended, counts that are over: the hourly job."""
    await purge_spent(env)
    await sessions.purge_sessions(env)
    await purge_counters(env)
