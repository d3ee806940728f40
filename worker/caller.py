"""
Who is calling: turns a request into a `Caller`, or refuses. Nothing else reads credentials.

Today: bearer access tokens (JWT, HS256, facts/seeds.md §3.3), and `?token=` on WebSocket doors,
because a browser cannot set headers there.
"""

import hashlib
import hmac
import math
from dataclasses import dataclass
from typing import Any

from worker.codec import b64url
from worker.env import Env
from worker.errors import Forbidden, Unauthorized
from worker.settings import Keyring
from worker.web import Request

AUDIENCE = "api"
ISSUER = "edgekeep"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
# Machines' clocks differ; a token may come from one that is ahead.
_CLOCK_SKEW_SECONDS = 60
# A JWT of ours has about 300 characters; nothing larger is worth parsing.
_TOKEN_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal: *subject* is stable and opaque, *scopes* say what it may do."""

    subject: str
    scopes: frozenset[str]

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
        key = env.settings.pseudonym_key.reveal()
        return b64url(hmac.new(key, self.subject.encode(), hashlib.sha256).digest()[:12])


STRANGER = Caller("", frozenset())


@dataclass(frozen=True, slots=True)
class Who:
    """
    Who may call a door: a caller with *scope*, or anyone when it is "".

    *query_token* opens the door to `?token=` as well (WebSocket doors only).
    """

    scope: str = ""
    query_token: bool = False


ANYONE = Who()


def identify(request: Request, who: Who, env: Env) -> Caller:
    """
    Return the caller of *request*.

    Raises `Unauthorized` for a missing or bad credential where one is needed, and for a bad one
    even where none is; `Forbidden` when the scope is missing.
    """
    token = _credential(request, who)
    if token is None:
        if who.scope:
            raise Unauthorized("Send an access token: Authorization: Bearer …", headers=_CHALLENGE)
        return STRANGER
    caller = verify(token, env.settings.signing_keys, env.tools.now())
    if who.scope and not caller.may(who.scope):
        raise Forbidden(f"This needs a token with the scope {who.scope}.")
    return caller


def issue(keys: Keyring, subject: str, scopes: list[str], now: float, minutes: int) -> str:
    """Return a signed access token for *subject* that lives *minutes*."""
    import jwt

    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "scope": " ".join(scopes),
        "iat": int(now),
        "exp": int(now) + minutes * 60,
    }
    key = keys.keys[keys.current].reveal()
    return jwt.encode(claims, key, "HS256", headers={"kid": keys.current, "typ": "at+jwt"})


def verify(token: str, keys: Keyring, now: float) -> Caller:
    """Return the caller that *token* names; raises `Unauthorized` when it does not hold."""
    import jwt

    bad = Unauthorized("The access token is not valid or has expired.", headers=_CHALLENGE)
    if len(token) > _TOKEN_CHARS:
        raise bad
    try:
        header = jwt.get_unverified_header(token)
        key = keys.keys.get(str(header.get("kid")))
        if key is None or header.get("typ") != "at+jwt":
            raise bad
        claims: dict[str, Any] = jwt.decode(
            token,
            key.reveal(),
            algorithms=["HS256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            # The clock is handed in, so the times are judged below.
            options={
                "require": ["exp", "iat", "sub"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise bad from None
    latest_begin = now + _CLOCK_SKEW_SECONDS
    began = _moment(claims, "iat") <= latest_begin and _moment(claims, "nbf") <= latest_begin
    if not (began and now < _moment(claims, "exp")):
        raise bad
    return Caller(str(claims["sub"]), frozenset(str(claims.get("scope", "")).split()))


def _moment(claims: dict[str, Any], name: str) -> float:
    """Return a time claim; one that is no number compares with nothing, so the token fails."""
    value = claims.get(name, 0)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else math.nan


def _credential(request: Request, who: Who) -> str | None:
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("The Authorization header must be: Bearer …", headers=_CHALLENGE)
        return token.strip()
    return request.query.get("token") if who.query_token else None
