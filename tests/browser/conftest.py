"""
Fixtures of the browser tests: Debian's Chromium, driven by playwright, against a real host.

The host is a child process over a seeded state (tests/browser/seeding.py), one for all tests here:
each test changes only what it made itself. A page that breaks its own Content-Security-Policy or
writes an error to the browser's console fails its test.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.seeding import seed
from tests.support.ports import free_port
from tests.support.running_host import ROOT, SECRETS
from tests.support.waiting import PATIENCE

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without the last ones Chromium looks for Google's hosts, which a closed network refuses.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PATIENCE_MS = PATIENCE * 1000
# Screenshots are for a person who looks: CONSOLE_SHOTS=/tmp/console_shots
_SHOTS = os.environ.get("CONSOLE_SHOTS", "")

OpenPage = Callable[..., Page]


@dataclass(slots=True)
class ConsoleHost:
    """A child host at *url*."""

    url: str
    process: "subprocess.Popen[bytes]"
    state: Path

    @property
    def link(self) -> str:
        """The link that opens its console."""
        return f"{self.url}/_console?key={self.key}"

    @property
    def key(self) -> str:
        """The key of its console, as its owner reads it."""
        return (self.state / "host.key").read_text().strip()

    def get(self, path: str) -> int:
        """GET *path* without a browser; returns the status."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium; without one the tests skip at home and fail in CI."""
    found = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    if found is None:
        reason = "there is no Chromium here: apt-get install chromium"
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="package")
def console_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHost]:
    """A host that runs in a process of its own, over a seeded state."""
    place = tmp_path_factory.mktemp("console")
    seed(place / "state")
    with start_host(place) as running:
        yield running


@dataclass(slots=True)
class start_host:  # noqa: N801 - used as a function
    """Run a host over PLACE/state until the block ends (a context manager)."""

    place: Path
    _running: ConsoleHost | None = None

    def __enter__(self) -> ConsoleHost:
        port = free_port()
        log = (self.place / "log.ndjson").open("ab")
        said = (self.place / "said.txt").open("ab")
        with log, said:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "scripts.cli.main", "dev"),
                    *("--port", str(port), "--state", str(self.place / "state")),
                ],
                cwd=ROOT,
                env={**os.environ, **SECRETS},
                stdout=log,
                stderr=said,
            )
        self._running = ConsoleHost(f"http://127.0.0.1:{port}", process, self.place / "state")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and process.poll() is None:
            try:
                if self._running.get("/healthz") == 200:
                    return self._running
            except OSError:
                time.sleep(0.02)
        process.kill()
        process.wait()
        pytest.fail(f"the host did not start: {(self.place / 'said.txt').read_text()}")

    def __exit__(self, *_: object) -> None:
        assert self._running is not None
        process = self._running.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=PATIENCE) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


@dataclass(slots=True)
class Complaints:
    """What the browser complained of; a test that expects a refusal says so with `expect`."""

    texts: list[str]
    pages: list[Page] = field(default_factory=list)

    def expect(self, text: str) -> None:
        """Take out complaints with *text*: Chromium notes every answer of 4xx, for example."""
        end = time.monotonic() + _PATIENCE_MS / 1000
        while time.monotonic() < end and not any(text in noted for noted in self.texts):
            # Chromium tells in its own time; its words come in while something waits for a page.
            self.pages[-1].wait_for_timeout(20)
        assert any(text in noted for noted in self.texts), (text, self.texts)
        self.texts[:] = [noted for noted in self.texts if text not in noted]

    def listen(self, page: Page) -> None:
        """Note errors and violations of *page*."""
        self.pages.append(page)

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.texts.append(f"{page.url}: {message.text}")

        page.on("console", said)
        page.on("pageerror", lambda error: self.texts.append(f"{page.url}: {error}"))
        page.on("dialog", lambda dialog: self.texts.append(f"{page.url}: dialog {dialog.message}"))


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What the browser complains of during the test; it must be nothing in the end."""
    noted = Complaints([])
    yield noted
    assert noted.texts == []


@pytest.fixture
def open_page(
    browser: Browser, console_host: ConsoleHost, complaints: Complaints
) -> Iterator[OpenPage]:
    """
    Return a function that opens a page in a profile that has the key of the console alone.

    Its options are those of `new_context`.

    For example `open_page(java_script_enabled=False)`, `open_page(color_scheme="dark")`,
    `open_page(viewport={"width": 360, "height": 740})`.
    """
    with ExitStack() as opened:

        def opening(**options: Any) -> Page:
            context = browser.new_context(base_url=console_host.url, **options)
            opened.callback(context.close)
            context.set_default_timeout(_PATIENCE_MS)
            name = f"edgekeep_key_{urlsplit(console_host.url).port}"
            context.add_cookies(
                [{"name": name, "value": console_host.key, "url": f"{console_host.url}/_console"}]
            )
            page = context.new_page()
            complaints.listen(page)
            return page

        yield opening


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page in a fresh profile."""
    return open_page()


@pytest.fixture
def shoot() -> Callable[[Page, str], None]:
    """Return a function that keeps a screenshot under a name, when CONSOLE_SHOTS says where."""

    def shooting(page: Page, name: str) -> None:
        if _SHOTS:
            page.screenshot(path=Path(_SHOTS) / f"{name}.png", full_page=True)

    return shooting
