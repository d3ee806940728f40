"""
Cookies of a browser session, and the proof that a change comes from our own page.

`__Host-session` holds the access token and `__Host-refresh` the refresh token, both out of reach of
scripts; `__Host-csrf` is for scripts to read and to send back as X-CSRF-Token (double submit). The
CSRF token is bound to the session by a seal, so that a planted cookie proves nothing
(facts/seeds.md X25; OWASP, signed double-submit cookie).
"""

import hashlib
import hmac
from collections.abc import Mapping

from worker.codec import b64url
from worker.env import Env
from worker.errors import CsrfFailed
from worker.identity.sessions import Grant
from worker.web import HeaderMap, Request
from worker.wire.sent_headers import sent

SESSION = "__Host-session"
REFRESH = "__Host-refresh"
CSRF = "__Host-csrf"
CSRF_HEADER = sent("X-CSRF-Token")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def read(headers: HeaderMap) -> Mapping[str, str]:
    """
    Return the cookies of a request by name; a repeated name has the value "".

    A browser keeps other sites from planting `__Host-` cookies, but it compares the name exactly:
    so only the blanks that it takes away itself are taken away here, not every blank of Unicode.
    And it holds one cookie of such a name: of two, one was planted, and neither counts.
    """
    found: dict[str, str] = {}
    for part in (headers.get("cookie") or "").split(";"):
        name, equals, value = part.strip(" \t").partition("=")
        if equals:
            found[name] = "" if name in found else value
    return found


def write(name: str, value: str, seconds: int, *, script: bool = False) -> str:
    """Return a Set-Cookie field: over TLS (or loopback) only, to this host only."""
    hidden = "" if script else " HttpOnly;"
    return f"{name}={value}; Path=/; Max-Age={seconds}; Secure;{hidden} SameSite=Lax"


def of_grant(env: Env, grant: Grant) -> tuple[str, ...]:
    """Return the cookies that carry *grant* in a browser."""
    now = int(env.tools.now())
    lifetime = grant.refresh_expires_at - now
    return (
        write(SESSION, grant.token, grant.expires_at - now),
        write(REFRESH, grant.refresh_token, lifetime),
        write(CSRF, csrf_token(env, grant.session_id), lifetime, script=True),
    )


def cleared() -> tuple[str, ...]:
    """Return the cookies of a browser that signed out."""
    return tuple(write(name, "", 0, script=name == CSRF) for name in (SESSION, REFRESH, CSRF))


def csrf_token(env: Env, session_id: str) -> str:
    """Return the CSRF token of a session."""
    key = env.settings.session_key.reveal()
    return b64url(hmac.new(key, b"csrf\0" + session_id.encode(), hashlib.sha256).digest()[:18])


def check_csrf(request: Request, env: Env, session_id: str) -> None:
    """Raise `CsrfFailed` unless our own page made *request* for this session."""
    check_origin(request, env)
    sent = request.headers.get(CSRF_HEADER) or ""
    wanted = csrf_token(env, session_id)
    for shown in (sent, read(request.headers).get(CSRF, "")):
        # A header may hold bytes that are no text.
        if not hmac.compare_digest(shown.encode(errors="replace"), wanted.encode()):
            raise CsrfFailed(f"Send the value of the cookie {CSRF} as {CSRF_HEADER}.")


def check_origin(request: Request, env: Env, *, needed: bool = False) -> None:
    """
    Raise `CsrfFailed` when a browser says that another site's page made *request*.

    With *needed*, a request that does not say where it comes from is refused too.
    """
    origin = request.headers.get("origin")
    if origin is None:
        if needed or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise CsrfFailed("The request does not say which page it comes from.")
        return
    if origin not in (env.settings.public_url, *env.settings.cors_origins):
        raise CsrfFailed("The request comes from a page of another site.")
