"""
Who may open the console: a browser on this machine, at a page of the console itself, with the key
of this run (`worker.entry.run_key`).

A web page from elsewhere can make the browser of a developer send requests to 127.0.0.1, and by
DNS rebinding even read the answers under a name of its own. So the peer, the Host, the Origin and
the browser's own word (Sec-Fetch-Site, https://www.w3.org/TR/fetch-metadata/) are all judged, and
before anything else.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from worker.entry.own_names import is_loopback, name_of

_OURS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
# A reverse proxy says by these whom it speaks for; behind one everybody seems to be on loopback.
_PROXIED: Final = ("x-forwarded-", "x-real-ip", "forwarded", "via")
# What a browser sends for an address typed in, and for a link or form on a page of our own.
_OWN_FETCH: Final = frozenset({"none", "same-origin"})

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With no-referrer a browser sends `Origin: null` with our own forms (Fetch §3.1).
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "edgekeep",
}


def names_of(bound: str) -> frozenset[str]:
    """Return the names the console answers to, of a host that listens at *bound*."""
    if not is_loopback(bound):
        return _OURS
    return _OURS | {f"[{bound}]" if ":" in bound else bound}


def refusal(request: web.Request, names: frozenset[str]) -> str | None:
    """Return why *request* may not come in, a sentence for a person; None when it may."""
    if not is_loopback(request.remote):
        return "The console answers only on the machine that Edgekeep runs on."
    if any(name.lower().startswith(_PROXIED) for name in request.headers):
        return "The console does not answer through a proxy: it could not tell who is asking."
    if name_of(request.headers.getall("Host", [])) not in names:
        return "The console answers only to the names localhost, 127.0.0.1 and [::1]."
    host = request.headers["Host"].lower()
    origins = request.headers.getall("Origin", [])
    if origins and [one.lower() for one in origins] != [f"{request.scheme}://{host}"]:
        return "Another site asked for this, or sent this form. The console takes neither."
    fetch_site = request.headers.getall("Sec-Fetch-Site", ["none"])
    if len(fetch_site) != 1 or fetch_site[0] not in _OWN_FETCH:
        return (
            "Another site led here. To open the console, type or paste its address: "
            f"{request.scheme}://{host}/_console"
        )
    return None
