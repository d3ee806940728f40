"""
A magic link in real Chromium: asked for, opened in the same browser, signed in by cookies.

`__Host-` cookies are Secure. Chromium takes and sends them over plain HTTP at 127.0.0.1 and at
localhost, because loopback is trustworthy (W3C, Secure Contexts §3.1), and over TLS everywhere.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.cli.conftest import EDGEKEEP, environment
from tests.support.mails import link_in
from tests.support.ports import free_port
from tests.support.running_host import ROOT, SECRETS
from tests.support.waiting import PATIENCE

_ASK = """
async (email) => (await fetch("/api/auth/magic-link", {
  method: "POST", headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ email, next: "/api/auth/session" }),
})).status
"""


@pytest.fixture(
    scope="module", params=["http://127.0.0.1", "http://localhost", "https://localhost"]
)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A host in a process of its own, at each kind of address; yields "address state"."""
    state = tmp_path_factory.mktemp("link") / "state"
    port = free_port()
    url = f"{request.param}:{port}"
    words = [*("dev", "--port", str(port), "--state", str(state))]
    words += ["--tls"] if url.startswith("https") else []
    process = subprocess.Popen(
        [str(EDGEKEEP), *words],
        cwd=ROOT,
        env=environment(**SECRETS, PUBLIC_URL=url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "is ready at" in line:
            break
    try:
        yield f"{url} {state}"
    finally:
        process.kill()
        process.communicate()


def _newest(state: Path, number: int) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = sorted((state / "outbox").glob("[!.]*.eml"))
        if len(found) == number:
            return link_in(found[-1].read_text())
        time.sleep(0.02)
    raise AssertionError("no mail came")


def test_the_browser_that_asked_is_signed_in(browser: Browser, host: str) -> None:
    """Another browser sees a page that says so; afterwards the link still opens in the first."""
    url, state = host.split(" ")
    with (
        browser.new_context(ignore_https_errors=True) as asking,
        browser.new_context(ignore_https_errors=True) as other,
    ):
        page, stranger = asking.new_page(), other.new_page()
        page.goto(f"{url}/docs")
        assert page.evaluate(_ASK, "ada@example.org") == 202
        path = _newest(Path(state), 1)

        answer = stranger.goto(url + path)
        assert answer is not None
        assert answer.status == 403
        assert (
            stranger.get_by_role("heading").inner_text().startswith("Open the link in the browser")
        )
        opened = page.goto(url + path)
        assert opened is not None
        assert page.url == f"{url}/api/auth/session"
        told = json.loads(opened.text())
        assert told["identities"] == ["email"]
        names = {cookie["name"] for cookie in asking.cookies()}
        assert {"__Host-session", "__Host-refresh", "__Host-csrf"} <= names
        scripts = page.evaluate("document.cookie")
        assert "__Host-csrf" in scripts
        assert "__Host-session" not in scripts
        again = page.goto(url + path)
        assert again is not None
        assert again.status == 401
        assert "was used" in page.inner_text("p")
