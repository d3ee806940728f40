"""What CORS allows is what doors read: a page of a listed origin can send every such header."""

import ast
import importlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house.sources import ROOT, Source, sources
from tests.support.running_host import RunningHost, running_host
from worker.routes import ROUTES
from worker.wire import sent_headers

# What a browser sends by itself or keeps pages from setting (Fetch, "forbidden request-header"),
# what it lets every page send, and what is put in on the way to us.
_NOT_TO_DECLARE = {
    *("accept", "access-control-request-method", "content-length", "cookie", "origin", "purpose"),
    *("sec-fetch-site", "sec-purpose", "sec-websocket-protocol", "upgrade", "x-moz", "user-agent"),
    *("cf-connecting-ip", "host"),
}
_ORIGIN = "http://localhost:5173"


def _reads(source: Source) -> Iterator[str]:
    """Yield the name of each header of a request that a module reads, in lower case."""
    module = source.path.removesuffix(".py").replace("/", ".")
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        is_field = node.func.attr == "field" and ast.unparse(node.func.value) == "request"
        of = ast.unparse(node.func.value)
        is_get = node.func.attr == "get" and of in ("headers", "request.headers")
        if is_field or is_get:
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield str(name.value).lower()
            elif isinstance(name, ast.Name) and name.id.isupper():
                yield str(getattr(importlib.import_module(module), name.id)).lower()


def test_every_header_that_is_read_may_be_sent() -> None:
    """Read by its declared constant, or one that needs no declaration; nothing in between."""
    allowed = {name.strip().lower() for name in sent_headers.declared().split(",")}
    found = {
        (name, source.path)
        for source in sources()
        if source.path.startswith("worker/")
        and not source.path.startswith(("worker/entry/", "worker/fetch.py"))
        for name in _reads(source)
    }
    assert len({name for name, _ in found} & allowed) >= 14
    assert [one for one in sorted(found) if one[0] not in allowed | _NOT_TO_DECLARE] == []
    assert not allowed & _NOT_TO_DECLARE


def test_every_header_that_the_document_names_may_be_sent() -> None:
    """What openapi.yaml tells clients to send."""
    document: dict[str, Any] = json.loads(
        (ROOT / "worker/api_page/files/openapi.json").read_bytes()
    )
    allowed = sent_headers.declared().lower()
    shared = document["components"]["parameters"].values()
    doors = [door for path in document["paths"].values() for door in path.values()]
    listed = [one for door in doors if isinstance(door, dict) for one in door.get("parameters", ())]
    named = {one["name"].lower() for one in (*shared, *listed) if one.get("in") == "header"}
    assert len(named) > 5
    assert [one for one in named - _NOT_TO_DECLARE if one not in allowed] == []


@pytest.fixture
async def listed(tmp_path: Path) -> AsyncIterator[RunningHost]:
    """A host that a page of another origin may call."""
    async with running_host(tmp_path, CORS_ORIGINS=_ORIGIN) as host:
        yield host


async def test_a_browser_is_told_so_at_every_door(listed: RunningHost) -> None:
    """Before it sends an avatar's ids, a part of a file, packed lines, or a proof."""
    wanted = "x-backup-attachments,if-range,content-encoding,x-csrf-token,authorization"
    for route in ROUTES:
        if "{" in route.path:
            continue
        asked = {
            "Origin": _ORIGIN,
            "Access-Control-Request-Method": route.method,
            "Access-Control-Request-Headers": wanted,
        }
        answer = await listed.ask("OPTIONS", route.path, headers=asked)
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert set(wanted.split(",")) <= set(allowed), route.path
