"""The browser client of the backup, held to the vectors in real Chromium."""

import json
import mimetypes

from playwright.sync_api import Browser, Route

from scripts.edge.toolchain import install
from tests.backup_client.test_vectors import BROWSER_CLIENTS
from tests.backup_client.vectors import PATH

# What a page with a strict policy needs for Argon2id in WebAssembly, and no more.
POLICY = "default-src 'none'; connect-src 'self'; script-src 'self' 'nonce-n' 'wasm-unsafe-eval'"
PAGE = """<!doctype html><title>vectors</title>
<script type="importmap" nonce="n">
{"imports": {
  "hash-wasm": "/node_modules/hash-wasm/dist/index.esm.min.js",
  "edgekeep-core/": "/core/"
}}
</script>"""
CHECK = """async () => {
  const { checkVectors } = await import("/backup/check_vectors.mjs");
  return checkVectors(await (await fetch("/vectors.json")).json());
}"""
# A secure origin that leads nowhere: every request of the page is answered here.
ORIGIN = "https://backup.test"


def serve(route: Route) -> None:
    """Answer a request of the page from the clients' folder."""
    path = route.request.url.removeprefix(ORIGIN)
    if path == "/":
        headers = {"Content-Security-Policy": POLICY, "Content-Type": "text/html"}
        route.fulfill(body=PAGE, headers=headers)
    elif path == "/vectors.json":
        route.fulfill(path=PATH)
    else:
        kind = mimetypes.guess_type(path)[0] or "text/javascript"
        route.fulfill(path=BROWSER_CLIENTS / path.lstrip("/"), content_type=kind)


def test_the_client_agrees_in_chromium(browser: Browser) -> None:
    """WebCrypto and Argon2id in WebAssembly, under a Content-Security-Policy without eval."""
    install(BROWSER_CLIENTS)
    page = browser.new_page()
    try:
        page.route(f"{ORIGIN}/**", serve)
        page.goto(f"{ORIGIN}/")
        told = page.evaluate(CHECK)
    finally:
        page.close()

    vectors = json.loads(PATH.read_text())
    assert told["failures"] == []
    assert told["checked"] > len(vectors["sealed"]) + len(vectors["refused"])
