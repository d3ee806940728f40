"""
The key of this run, for what only whoever started the host may open: its console.

A peer on loopback is no person: a plain reverse proxy or a tunnel brings the whole world from
there, and says nothing of it. So, as Jupyter does, each run makes a key, prints a link with it at
its start, keeps it in a cookie of the browser that opened the link, and in a file of the state
directory that its owner alone can read.
"""

import hmac
import re
from typing import Final

from aiohttp import web

_PORT: Final = re.compile(r":([0-9]{1,5})\Z", re.ASCII)


class RunKey:
    """The key *text* and how it is shown; *page* is the path that it opens."""

    def __init__(self, text: str, page: str) -> None:
        self._text = text
        self._page = page

    def link(self, url: str) -> str:
        """Return the address that opens the page in a browser, of a host at *url*."""
        return f"{url}{self._page}?key={self._text}"

    def is_offered(self, request: web.Request) -> bool:
        """Whether *request* follows the link."""
        return request.path == self._page and self._is(request.query.get("key", ""))

    def is_shown(self, request: web.Request) -> bool:
        """Whether the browser of *request* has opened the link in this run."""
        return self._is(request.cookies.get(_cookie(request), ""))

    def keep(self, request: web.Request) -> web.Response:
        """Answer the link: the browser keeps the key, and the address bar does not."""
        answer = web.Response(status=303, headers={"Location": self._page})
        answer.set_cookie(
            _cookie(request),
            self._text,
            path=self._page,
            secure=request.secure,
            httponly=True,
            samesite="Strict",
        )
        return answer

    def _is(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(errors="replace"), self._text.encode())


def _cookie(request: web.Request) -> str:
    """Name the cookie: browsers do not tell ports apart, and two hosts may run at a time."""
    port = _PORT.search(request.host)
    name = "edgekeep_key_" + (port[1] if port else "")
    return "__Secure-" + name if request.secure else name
