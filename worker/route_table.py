"""
What a row of the table of doors is, and how a path finds its row (`worker.routes` is the table).
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from worker.env import Env
from worker.errors import NotOpenYet
from worker.identity.caller import ANYONE, Caller, Who
from worker.limits import RateLimit
from worker.web import Request, Response

Handler = Callable[[Request, Caller, Env], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """
    One door. *path* segments in braces are parameters.

    *limit* holds beside the general one. *planned* names the area that opens later; until then the
    door answers 501. *cors* "any": pages of every origin may call, without credentials. *stores*:
    what comes is kept, so it is refused while the disk is full.
    """

    method: str
    path: str
    handler: Handler
    who: Who
    limit: RateLimit | None = None
    planned: str = ""
    cors: Literal["listed", "any"] = "listed"
    stores: bool = False


def planned(method: str, path: str, area: str, limit: RateLimit | None = None) -> Route:
    """Return the row of a door that opens with *area*, in a later version."""
    return Route(method, path, _not_open_yet, ANYONE, limit, planned=area)


async def _not_open_yet(request: Request, caller: Caller, env: Env) -> Response:
    raise NotOpenYet("This door is planned; nothing stands behind it in this version.")


def words(routes: Iterable[Route]) -> frozenset[str]:
    """Return the words of all paths, without the signs between and within them."""
    parts = (part for route in routes for part in re.split(r"[/.]", route.path))
    return frozenset(re.sub(r"[-_]", "", part) for part in parts if part and "{" not in part)


@dataclass(slots=True)
class Resource:
    """All methods of one path."""

    path: str
    methods: dict[str, Route] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        """The Allow header: HEAD comes with GET, OPTIONS always."""
        names = set(self.methods) | {"OPTIONS"}
        if "GET" in names:
            names.add("HEAD")
        return ", ".join(sorted(names))


class RouteTable:
    """The matcher: exact paths by look-up, paths with parameters segment by segment."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.resources: dict[str, Resource] = {}
        for route in routes:
            # Deny by default: a door that nobody thought about does not open.
            if not isinstance(route.who, Who):
                raise TypeError(f"{route.method} {route.path} does not say who may call it")
            resource = self.resources.setdefault(route.path, Resource(route.path))
            if route.method in resource.methods:
                raise ValueError(f"{route.method} {route.path} stands twice in the table")
            resource.methods[route.method] = route
        self._patterns = [
            (path.split("/"), resource) for path, resource in self.resources.items() if "{" in path
        ]

    def match(self, path: str) -> tuple[Resource, dict[str, str]] | None:
        """Return the resource at the raw *path* and its decoded parameters, or None."""
        resource = self.resources.get(path)
        if resource is not None and "{" not in path:
            return resource, {}
        parts = path.split("/")
        for pattern, resource in self._patterns:
            params = _match(pattern, parts)
            if params is not None:
                return resource, params
        return None


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(parts):
        return None
    params: dict[str, str] = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if wanted.startswith("{"):
            if not part:
                return None
            params[wanted[1:-1]] = unquote(part)
        elif wanted != part:
            return None
    return params
