"""/openapi.json, /docs and its files: what they answer, to whom, and how long it may be kept."""

import re

import pytest

from tests.support.problems import assert_problem
from tests.support.running_host import ROOT, RunningHost

SHIPPED = ROOT / "worker" / "api_page" / "files"
VIEWER = ROOT / "worker" / "entry" / "viewer"
DOORS = ("/openapi.json", "/docs", "/docs/page.css")


async def test_the_document_is_served_as_it_was_made(host: RunningHost) -> None:
    """Byte for byte, as JSON, to readers of any origin."""
    answer = await host.get("/openapi.json", headers={"Origin": "https://elsewhere.example"})

    assert answer.status == 200
    assert answer.body == (SHIPPED / "openapi.json").read_bytes()
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json()["servers"][0]["url"] == "/"


@pytest.mark.parametrize("path", DOORS)
async def test_what_is_unchanged_is_not_sent_again(host: RunningHost, path: str) -> None:
    """An ETag that is held, alone, in a list, strong or as `*`, makes a 304 without a body."""
    first = await host.get(path)
    etag = first.headers["ETag"]

    assert first.headers["Cache-Control"] == "no-cache"
    for held in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
        again = await host.get(path, headers={"If-None-Match": held})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
        assert "Content-Type" not in again.headers
    changed = await host.get(path, headers={"If-None-Match": 'W/"other"'})
    assert (changed.status, changed.body) == (200, first.body)


@pytest.mark.parametrize("path", DOORS)
async def test_head_tells_the_same_without_a_body(host: RunningHost, path: str) -> None:
    """HEAD has the headers of GET."""
    got = await host.get(path)
    head = await host.ask("HEAD", path)

    assert (head.status, head.body) == (200, b"")
    for name in ("ETag", "Content-Type", "Content-Length"):
        assert head.headers[name] == got.headers[name]


async def test_the_page_allows_nothing_but_its_own_files(host: RunningHost) -> None:
    """The policy starts from nothing and never allows inline code, eval or another host."""
    answer = await host.get("/docs")
    policy = answer.headers["Content-Security-Policy"]

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_host_starts_the_viewer_and_ships_all_of_it(host: RunningHost) -> None:
    """The page's script, and what it loads, are there with their types."""
    page = (await host.get("/docs")).body.decode()

    assert re.findall(r"<script.*?</script>", page) == ['<script src="/docs/start.js"></script>']
    for name, kind in (
        ("start.js", "text/javascript"),
        ("swagger-ui-bundle.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
    ):
        answer = await host.get(f"/docs/{name}")
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.body == (VIEWER / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "LICENSE", "page.html", "..%2Fdoors.py", "%2e%2e", "page.css%00", "x"],
)
async def test_only_files_of_the_page_can_be_had(host: RunningHost, name: str) -> None:
    """Other names are not found, whatever lies there."""
    assert_problem(await host.get(f"/docs/{name}"), 404, "not_found")


async def test_where_no_viewer_is_shipped_the_page_stands_alone(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the edge: no script on the page, and none to be had."""
    from worker.api_page import doors

    monkeypatch.setattr(doors, "_SHIPPED", {})
    shipped = host.env.tools.shipped
    monkeypatch.setattr(
        host.env.tools,
        "shipped",
        lambda name: shipped(name) if (SHIPPED / name).is_file() else None,
    )

    page = await host.get("/docs")
    assert page.status == 200
    assert b"<script" not in page.body
    assert b"/api/profiles/import" in page.body
    assert_problem(await host.get("/docs/start.js"), 404, "not_found")
