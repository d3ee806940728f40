"""
Which pages of other origins may call from a browser (Fetch standard, "CORS protocol").

Origins of CORS_ORIGINS may, with credentials. Doors with cors="any" (public data) may be read by
every page, without. Everybody else gets no header, and a refusal if the browser asks before. They
may send what some door reads (`worker.wire.sent_headers`).
(facts/seeds.md §3.2.)
"""

from typing import TYPE_CHECKING

from worker.env import Env
from worker.errors import OriginNotAllowed
from worker.web import Request, Response
from worker.wire.sent_headers import declared

if TYPE_CHECKING:
    from worker.route_table import Resource

_READ = ", ".join(
    (
        *("ETag", "Location", "Retry-After", "X-Request-Id", "Idempotent-Replayed"),
        *("RateLimit", "RateLimit-Policy", "WWW-Authenticate", "Content-Range", "Allow"),
        *("Content-Disposition", "X-Checksum-Sha256"),
        # Electric's (facts/seeds.md §3.2, CORS) and the next challenge of user storage.
        *("electric-handle", "electric-offset", "electric-cursor", "electric-schema"),
        *("electric-up-to-date", "x-challenge-id", "x-challenge"),
    )
)
_PREFLIGHT_SECONDS = "600"


def options(request: Request, resource: "Resource", env: Env) -> Response:
    """
    Answer what *resource* allows, and to a preflight whether the page may go on.

    Raises `OriginNotAllowed` for a preflight of a page that may not.
    """
    headers = {"Allow": resource.allow}
    wanted = request.headers.get("access-control-request-method")
    origin = request.headers.get("origin")
    if origin is not None and wanted is not None:
        if not _may(origin, resource, wanted, env):
            raise OriginNotAllowed("The setting CORS_ORIGINS lists who may.")
        headers["Access-Control-Allow-Methods"] = resource.allow
        headers["Access-Control-Allow-Headers"] = declared()
        headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
    return Response(None, 204, headers)


def mark(request: Request, response: Response, resource: "Resource | None", env: Env) -> None:
    """Tell the browser whether the page that asked may read *response*."""
    headers = response.headers
    if env.settings.cors_origins:
        headers["Vary"] = f"{headers['Vary']}, Origin" if "Vary" in headers else "Origin"
    origin = request.headers.get("origin")
    if origin is None:
        return
    if origin in env.settings.cors_origins:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
    elif resource is not None and _open(resource, _method(request)):
        headers["Access-Control-Allow-Origin"] = "*"
    else:
        return
    headers["Access-Control-Expose-Headers"] = _READ


def _method(request: Request) -> str:
    if request.method != "OPTIONS":
        return request.method
    return request.headers.get("access-control-request-method") or ""


def _may(origin: str, resource: "Resource", method: str, env: Env) -> bool:
    return origin in env.settings.cors_origins or _open(resource, method)


def _open(resource: "Resource", method: str) -> bool:
    route = resource.methods.get("GET" if method == "HEAD" else method)
    return route is not None and route.cors == "any"
