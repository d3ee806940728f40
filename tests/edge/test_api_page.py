"""/openapi.json and /docs in real workerd: shipped in the bundle, without the viewer."""

from tests.edge.edge_host import EdgeHost
from tests.support.problems import assert_problem
from tests.support.running_host import ROOT

SHIPPED = ROOT / "worker" / "api_page" / "files"


async def test_the_document_is_the_same_at_the_edge(host: EdgeHost) -> None:
    """The bytes of a laptop, with an ETag that is honoured."""
    answer = await host.get("/openapi.json")

    assert answer.status == 200
    assert answer.body == (SHIPPED / "openapi.json").read_bytes()
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    again = await host.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


async def test_the_page_is_text_and_style_at_the_edge(host: EdgeHost) -> None:
    """No viewer is in the bundle, so the page starts none and the policy stays as strict."""
    page = await host.get("/docs")
    style = await host.get("/docs/page.css")

    assert (page.status, style.status) == (200, 200)
    assert page.body == (SHIPPED / "page.html").read_bytes()
    assert style.body == (SHIPPED / "page.css").read_bytes()
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert b"<script" not in page.body
    for name in ("start.js", "swagger-ui-bundle.js", "swagger-ui.css"):
        assert_problem(await host.get(f"/docs/{name}"), 404, "not_found")
