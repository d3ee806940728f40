"""
Cookies of a browser session, and the proof that a change comes from our own page.

`__Host-session` holds the access token and `__Host-refresh` the refresh token, both out of reach of
scripts; `__Host-csrf` is for scripts to read and to send back as X-CSRF-Token (double submit). The
CSRF token is bound to the session by a seal, so that a planted cookie proves nothing
(facts/seeds.md X25; OWASP, signed double-submit cookie).

Safari takes no Secure cookie over plain http, not even on this machine, and so none of these. In
development there, and nowhere else, they are written without Secure under names of their own.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping

from worker.codec import b64url
from worker.env import Env
from worker.errors import CsrfFailed
from worker.identity.sessions import Grant
from worker.web import Request, Response
from worker.wire.sent_headers import sent

SESSION = "__Host-session"
REFRESH = "__Host-refresh"
CSRF = "__Host-csrf"
CSRF_HEADER = sent("X-CSRF-Token")
_PREFIX = "__Host-"
_PLAIN_PREFIX = "dev-"
_THIS_MACHINE = re.compile(r"http://(127\.[0-9.]+|localhost|\[::1\])(:[0-9]+)?", re.ASCII)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def read(request: Request, env: Env) -> Mapping[str, str]:
    """
    Return the cookies of a request by name; a repeated name has the value "".

    A browser keeps other sites from planting `__Host-` cookies, but it compares the name exactly:
    so only the blanks that it takes away itself are taken away here, not every blank of Unicode.
    And it holds one cookie of such a name: of two, one was planted, and neither counts.
    """
    found: dict[str, str] = {}
    plain = _is_plain(request, env)
    for part in (request.headers.get("cookie") or "").split(";"):
        name, equals, value = part.strip(" \t").partition("=")
        if equals:
            if plain and name.startswith(_PLAIN_PREFIX):
                name = _PREFIX + name.removeprefix(_PLAIN_PREFIX)
            found[name] = "" if name in found else value
    return found


def write(name: str, value: str, seconds: int, *, script: bool = False) -> str:
    """Return a Set-Cookie field: over TLS (or loopback) only, to this host only."""
    hidden = "" if script else " HttpOnly;"
    return f"{name}={value}; Path=/; Max-Age={seconds}; Secure;{hidden} SameSite=Lax"


def fit(request: Request, response: Response, env: Env) -> None:
    """Let the cookies of *response* be such that the browser that made *request* takes them."""
    if not (response.cookies and _is_plain(request, env)):
        return
    env.log.event("warning", "cookies_without_secure", request_id=request.request_id)
    response.cookies = tuple(
        field.replace(_PREFIX, _PLAIN_PREFIX, 1).replace(" Secure;", "", 1)
        for field in response.cookies
    )


def _is_plain(request: Request, env: Env) -> bool:
    """Whether Safari calls a host in development on its own machine over plain http."""
    agent = request.headers.get("user-agent") or ""
    return (
        "AppleWebKit/" in agent
        # Every other browser names WebKit as well.
        and not any(other in agent for other in ("Chrome/", "Chromium/", "Android"))
        and not env.settings.production
        and _THIS_MACHINE.fullmatch(env.settings.public_url) is not None
    )


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
    for shown in (sent, read(request, env).get(CSRF, "")):
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
