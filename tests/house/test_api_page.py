"""What ships for /openapi.json and /docs is what its sources say, byte for byte."""

import hashlib
import json
import re

import yaml

from scripts.api_page.page import operations, render
from scripts.api_page.vendored_viewer import FILES, FOLDER, MANIFEST
from tests.house.sources import ROOT
from worker.api_page.doors import PAGE_FILES

VIEWER = ROOT / FOLDER
SHIPPED = ROOT / "worker" / "api_page" / "files"


def test_the_served_document_is_openapi_yaml() -> None:
    """Nothing is lost or changed on the way from YAML to the compact JSON."""
    source = yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))

    assert json.loads((SHIPPED / "openapi.json").read_text(encoding="utf-8")) == source


def test_the_viewer_is_the_published_package() -> None:
    """The manifest names package, version, licence and integrity; every file has its hash."""
    manifest = json.loads((VIEWER / MANIFEST).read_text(encoding="utf-8"))

    assert manifest["package"] == "swagger-ui-dist"
    assert manifest["licence"] == "Apache-2.0"
    assert manifest["integrity"].startswith("sha512-")
    assert manifest["sha256"] == {
        name: hashlib.sha256((VIEWER / name).read_bytes()).hexdigest() for name in FILES
    }


def test_nothing_lies_beside_the_viewer_that_is_not_named() -> None:
    """A vendored file that nobody named would escape the hashes."""
    ours = {MANIFEST, "start.js"}

    assert {path.name for path in VIEWER.iterdir()} == {*FILES, *ours}


def test_every_file_of_the_page_is_shipped_somewhere() -> None:
    """What /docs/{file} may name lies at the core, or beside the viewer on a host."""
    missing = [
        name for name in PAGE_FILES if not ((SHIPPED / name).is_file() or (VIEWER / name).is_file())
    ]

    assert missing == []


def test_the_page_needs_nothing_that_the_policy_forbids() -> None:
    """No inline script, style or handler, and no address of another host."""
    page = (SHIPPED / "page.html").read_text(encoding="utf-8")

    assert "<script" not in page
    assert "<style" not in page
    assert re.search(r"<[^>]+\s(?:style|on\w+)=", page) is None
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*', page) == []


def test_the_page_leads_to_every_door_and_schema() -> None:
    """Each operation and each schema has its section, and every link on the page ends in one."""
    page = (SHIPPED / "page.html").read_text(encoding="utf-8")
    document = json.loads((SHIPPED / "openapi.json").read_text(encoding="utf-8"))
    ids = set(re.findall(r' id="([^"]+)"', page))

    assert {operation.anchor for operation in operations(document)} <= ids
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= ids
    assert {link for link in re.findall(r'href="#([^"]+)"', page) if link not in ids} == set()


def test_what_the_document_says_is_text_on_the_page() -> None:
    """A description is never markup."""
    answer = {"200": {"description": "`<b>` & <i>"}}
    operation = {"operationId": "x", "tags": ["t"], "summary": "<u>", "responses": answer}
    page = render(
        {
            "info": {"title": "<s>", "version": "1", "summary": "s", "description": "d"},
            "tags": [{"name": "t"}],
            "security": [{}],
            "paths": {"/x": {"get": operation}},
            "components": {"schemas": {}},
        }
    )

    assert "<code>&lt;b&gt;</code> &amp; &lt;i&gt;" in page
    assert "<u>" not in page
    assert "<s>" not in page
