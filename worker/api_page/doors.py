"""
The doors of the API's description: the document, the page, the files of the page.

All three serve files that ship with the Worker. `edgekeep docs` makes the document and the page
from docs/openapi/; the page can be read as it is. A host ships a viewer beside them (decision 10),
which takes the page over in a browser that runs scripts.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from worker.env import Env
from worker.errors import NotFound
from worker.identity.caller import Caller
from worker.web import JSON, Request, Response
from worker.wire.sent_headers import sent

PAGE_FILES: Mapping[str, str] = {
    "page.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
"""What /docs/{file} may name, with its media type."""

_IF_NONE_MATCH = sent("If-None-Match")
VIEWER_TAG = b'<script src="/docs/start.js"></script>\n'
"""Stands in the page where the viewer is shipped (CSP: scripts from files of ours only)."""

_VIEWER_PLACE = b"<!-- viewer -->\n"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
# A changed document is seen at the next look; an unchanged one costs a 304.
_REVALIDATE = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
_PAGE_HEADERS = {
    **_REVALIDATE,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class _Shipped:
    body: bytes
    etag: str


# Read at the first request: what ships with a process does not change while it runs.
_SHIPPED: dict[str, _Shipped] = {}


async def get_document(request: Request, caller: Caller, env: Env) -> Response:
    """Answer openapi.yaml as JSON; any origin may read it."""
    headers = {**_REVALIDATE, "Content-Type": JSON, "Access-Control-Allow-Origin": "*"}
    return _answer(request, _shipped("openapi.json", env), headers)


async def get_page(request: Request, caller: Caller, env: Env) -> Response:
    """Answer the page; where a viewer is shipped, with the script that starts it."""
    return _answer(request, _shipped("page.html", env), _PAGE_HEADERS)


async def get_page_file(request: Request, caller: Caller, env: Env) -> Response:
    """Answer a style sheet or script of the page; raises `NotFound` for any other name."""
    name = request.params["file"]
    if name not in PAGE_FILES:
        raise NotFound("The page has no such file.")
    headers = {**_REVALIDATE, "Content-Type": PAGE_FILES[name]}
    return _answer(request, _shipped(name, env), headers)


def _shipped(name: str, env: Env) -> _Shipped:
    found = _SHIPPED.get(name)
    if found is None:
        body = env.tools.shipped(name)
        if body is None:
            raise NotFound("This deployment does not ship that file.")
        if name == "page.html" and env.tools.shipped("start.js") is not None:
            body = body.replace(_VIEWER_PLACE, VIEWER_TAG)
        # Weak: the host may compress what it sends.
        etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
        found = _SHIPPED[name] = _Shipped(body, etag)
    return found


def _answer(request: Request, shipped: _Shipped, headers: Mapping[str, str]) -> Response:
    """Answer 304 when the caller holds the same (RFC 9110 §13.1.2, weak comparison)."""
    told = {**headers, "ETag": shipped.etag}
    wanted = request.headers.get(_IF_NONE_MATCH) or ""
    held = {"W/" + tag.strip().removeprefix("W/") for tag in wanted.split(",")}
    if shipped.etag in held or wanted.strip() == "*":
        del told["Content-Type"]
        return Response(None, 304, told)
    return Response(shipped.body, 200, told)
