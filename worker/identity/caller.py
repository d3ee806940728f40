"""
Who is calling: turns a request into a `Caller`, or refuses. Nothing else reads credentials.

A request shows one of these, looked for in this order: a bearer token (what a proxy asks for, such
as Basic, is nobody's credential here); `?token=` on WebSocket
doors, because a browser cannot set headers there (an access token, or better a ticket, which holds
once); the session cookie of a browser. A request with a bearer and a cookie is judged by the bearer
alone, a cookie that is to change something needs its CSRF token (facts/seeds.md X25).
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from worker.codec import b64url
from worker.env import Env
from worker.errors import Forbidden, SignInAgain, Unauthorized
from worker.identity import cookies
from worker.identity.once import spend
from worker.identity.tokens import CHALLENGE, Audience, Claims, invalid, verify
from worker.limits import RECENT_SIGN_IN_SECONDS
from worker.web import Request
from worker.wire.sent_headers import sent

Method = Literal["none", "bearer", "ticket", "cookie"]


@dataclass(frozen=True, slots=True)
class Caller:
    """
    A principal. *subject* is stable and opaque: an account id, or the name of a machine.

    *audience* is what the credential is for.

    *session_id* and *auth_time* (epoch seconds) are a person's; *scopes* say what it may do beside
    looking after its own things; *method* is how it showed who it is.
    """

    subject: str
    scopes: frozenset[str]
    role: str = ""
    session_id: str = ""
    auth_time: int = 0
    method: Method = "none"
    expires_at: float = 0
    audience: Audience = "api"

    @property
    def known(self) -> bool:
        """Whether a credential was shown."""
        return bool(self.subject)

    def may(self, scope: str) -> bool:
        """Whether this caller holds *scope*."""
        return scope in self.scopes

    def uid(self, env: Env) -> str | None:
        """Return the pseudonym for logs (`actor_uid`), or None for strangers."""
        if not self.subject:
            return None
        return env.access.pseudonym(self.subject, lambda: pseudonym(env, self.subject))


_AUTHORIZATION = sent("Authorization")
STRANGER = Caller("", frozenset())

# A subprotocol that a client offers beside the one that it wants to speak; we never answer it.
_TOKEN_PROTOCOL = "bearer."  # noqa: S105  # a name, no secret


_OPEN = ("api", "any")


@dataclass(frozen=True, slots=True)
class Who:
    """
    Who may call a door; without any condition, anyone.

    *scope*: a caller that holds it, or *or_scope*. *person*: somebody who signed in, so with an
    account and a session; *recent*: within the last minutes. Credentials are for one *audience*; at
    "any" the door looks at the caller's itself. *query_token* opens the door to `?token=` as well
    (WebSocket doors only).
    """

    scope: str = ""
    query_token: bool = False
    person: bool = False
    recent: bool = False
    audience: Audience | Literal["any"] = "api"
    or_scope: str = ""

    @property
    def closed(self) -> bool:
        """Whether strangers are refused."""
        return bool(self.scope) or self.person or self.recent or self.audience not in _OPEN

    def takes(self, audience: Audience) -> bool:
        """Whether a credential for *audience* is looked at here."""
        return self.audience in ("any", audience)


ANYONE = Who()
PERSON = Who(person=True)


def pseudonym(env: Env, subject: str) -> str:
    """Return what stands for *subject* in logs: an HMAC that only this deployment can make."""
    key = env.settings.pseudonym_key.reveal()
    return b64url(hmac.new(key, subject.encode(), hashlib.sha256).digest()[:12])


async def identify(request: Request, who: Who, env: Env) -> Caller:
    """
    Return the caller of *request*.

    Raises `Unauthorized` for a missing credential where one is needed, and for one that does not
    hold (a bearer or query token at every door, a cookie where one is needed); `Forbidden` when it
    does not allow this, `CsrfFailed` for a cookie without its proof, `SignInAgain`.
    """
    shown = await _shown(request, who, env)
    if shown is None:
        if who.closed:
            raise Unauthorized("Sign in, or send: Authorization: Bearer …", headers=CHALLENGE)
        return STRANGER
    claims, method = shown
    if who.scope and not claims.scopes.intersection((who.scope, who.or_scope)):
        raise Forbidden(f"This needs a token with the scope {who.scope}.")
    if (who.person or who.recent) and not claims.session_id:
        raise Forbidden("This is for people who signed in, not for machines.")
    if who.recent and env.tools.now() - claims.auth_time > RECENT_SIGN_IN_SECONDS:
        raise SignInAgain("Sign in again; then this can be done for ten minutes.")
    return Caller(
        claims.subject,
        claims.scopes,
        claims.role,
        claims.session_id,
        claims.auth_time,
        method,
        claims.expires_at,
        claims.audience,
    )


async def _shown(request: Request, who: Who, env: Env) -> tuple[Claims, Method] | None:
    token = _bearer(request)
    if token is not None:
        return await _held(token, who, env), "bearer"
    if who.query_token and (token := _socket_token(request)) is not None:
        return await _of_query(token, who, env)
    if who.takes("api") and request.headers.get("cookie") is not None:
        return await _of_cookie(request, who, env)
    return None


def _bearer(request: Request) -> str | None:
    """
    Return the bearer token, or None where there is none.

    Other schemes are between the client and a proxy. Raises `Unauthorized` for a bearer without a
    token or beside another credential: who sends two is not judged by the one that stands first.
    """
    if request.headers.get(_AUTHORIZATION) is None:
        return None
    header = (request.field(_AUTHORIZATION) or "").strip()
    if not any(_scheme(one) == "bearer" for one in header.split(",")):
        return None
    token = header.partition(" ")[2].strip()
    if _scheme(header) != "bearer" or not token:
        raise Unauthorized("The Authorization header must be: Bearer …", headers=CHALLENGE)
    return token


def _socket_token(request: Request) -> str | None:
    """Return the token of a handshake: of the two places that a browser's script can fill."""
    if "token" in request.query:
        return request.query["token"]
    for offered in (request.headers.get("sec-websocket-protocol") or "").split(","):
        if offered.strip().startswith(_TOKEN_PROTOCOL):
            return offered.strip().removeprefix(_TOKEN_PROTOCOL)
    return None


def _scheme(credential: str) -> str:
    return credential.strip().partition(" ")[0].lower()


async def _held(token: str, who: Who, env: Env) -> Claims:
    claims = env.access.claims(token, env.tools.now())
    if not who.takes(claims.audience):
        raise invalid()
    await _check_session(claims, env)
    return claims


async def _check_session(claims: Claims, env: Env) -> None:
    session_id, now = claims.session_id, env.tools.now()
    if not session_id or env.access.is_settled(session_id, now):
        return
    if await env.access.is_revoked(session_id, env.db, now):
        raise invalid()


async def _of_query(token: str, who: Who, env: Env) -> tuple[Claims, Method]:
    try:
        ticket = verify(token, env.settings.signing_keys, env.tools.now(), "ticket+jwt")
    except Unauthorized:
        return await _held(token, who, env), "bearer"
    if not (ticket.token_id and who.takes(ticket.audience)):
        raise invalid()
    await _check_session(ticket, env)
    if not await spend(env, ticket.token_id, ticket.expires_at):
        raise invalid()
    return ticket, "ticket"


async def _of_cookie(request: Request, who: Who, env: Env) -> tuple[Claims, Method] | None:
    """Return what the session cookie says; None where it is of no use and none is needed."""
    token = cookies.read(request, env).get(cookies.SESSION)
    if not token:
        return None
    try:
        claims = await _held(token, who, env)
        if who.query_token and request.headers.get("upgrade") is not None:
            # A page cannot add a header to a handshake; a browser always says where it comes from.
            cookies.check_origin(request, env, needed=True)
        elif request.method not in cookies.SAFE_METHODS:
            cookies.check_csrf(request, env, claims.session_id)
    except (Unauthorized, Forbidden):
        if who.closed:
            raise
        return None
    return claims, "cookie"
