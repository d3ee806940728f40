"""
The token that every change must carry, so that no page but our own can cause one.

An HMAC under a key of this process over a random cookie: whoever cannot read a page of the console
cannot know it, and a restart of the host makes all tokens void.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

from aiohttp import web

from worker.codec import b64url

COOKIE: Final = "edgekeep_console"
# Under TLS it has a name of its own: cookies do not tell ports apart, and a browser that holds a
# Secure one lets no plain-HTTP host of this machine replace it, nor shows it there.
SECURE_COOKIE: Final = "__Secure-edgekeep_console"
_VISIT: Final = web.RequestKey("edgekeep_console_visit", str)
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


class Csrf:
    """Makes and checks tokens; *random_bytes* is the platform's secure source."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._key = random_bytes(32)

    def visit(self, request: web.Request) -> str:
        """Return the value of the visitor's cookie, a fresh one when there is none yet."""
        if _VISIT not in request:
            sent = request.cookies.get(_name(request), "")
            known = _WELL_FORMED.fullmatch(sent) is not None
            request[_VISIT] = sent if known else b64url(self._random_bytes(16))
        return request[_VISIT]

    def token(self, request: web.Request) -> str:
        """Return the token for the forms of a page that answers *request*."""
        return b64url(hmac.digest(self._key, self.visit(request).encode(), hashlib.sha256))

    def accepts(self, request: web.Request, token: str) -> bool:
        """Tell whether *token* came from a page that this visitor was shown."""
        return hmac.compare_digest(token.encode(), self.token(request).encode())

    def keep(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the browser keep the cookie that the tokens of this page belong to."""
        if request.cookies.get(_name(request)) != self.visit(request) and not response.prepared:
            response.set_cookie(
                _name(request),
                self.visit(request),
                path="/_console",
                secure=request.secure,
                httponly=True,
                samesite="Strict",
            )


def _name(request: web.Request) -> str:
    return SECURE_COOKIE if request.secure else COOKIE
