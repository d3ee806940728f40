"""The console as a person uses it: by keyboard, with and without JavaScript, live."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Complaints, ConsoleHost, OpenPage, start_host
from tests.browser.seeding import NASTY, NASTY_KEY

REPORTS = "/_console/kv/IMPORT_REPORT_KV"


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control called *name* has the focus, and see that focus shows."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => [document.activeElement.innerText || document.activeElement.id,"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        if focused[0].strip() == name:
            assert focused[1] != "none", f"no visible focus on {name}"
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_everything_is_reached_by_keyboard(page: Page) -> None:
    """Skip link first; a key is put, edited and deleted without a mouse."""
    page.goto("/_console")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.goto("/_console")
    tab_to(page, "KV")
    page.keyboard.press("Enter")
    page.wait_for_url("**/kv")
    tab_to(page, "IDEMPOTENCY_KV")
    page.keyboard.press("Enter")
    page.wait_for_url("**/IDEMPOTENCY_KV")
    tab_to(page, "Put a key")
    page.keyboard.press("Enter")
    page.wait_for_url("**/put")
    tab_to(page, "key")
    page.keyboard.type("by-keyboard")
    tab_to(page, "value")
    page.keyboard.type("typed")
    tab_to(page, "Store")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Stored.")
    tab_to(page, "Delete …")
    page.keyboard.press("Enter")
    page.wait_for_url("**/delete?*")
    tab_to(page, "Delete")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Deleted: by-keyboard")


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_forms_work_with_and_without_javascript(
    open_page: OpenPage, complaints: Complaints, java_script_enabled: bool
) -> None:
    """Put, a refusal that keeps what was typed, edit with the end kept, search, delete."""
    page = open_page(java_script_enabled=java_script_enabled)
    key = f'form "{java_script_enabled}" <b>&amp;'
    page.goto(f"{REPORTS}/put")
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_label("Value", exact=True).fill("\nfirst\nsecond <i>")
    page.get_by_label("Metadata").fill("{no")
    page.get_by_label("Ends after").fill("7200")
    page.get_by_role("button", name="Store").click()
    expect(page.locator("#metadata-error")).to_contain_text("This is not JSON")
    complaints.expect("status of 422")
    expect(page.get_by_label("Key", exact=True)).to_have_value(key)
    expect(page.get_by_label("Value", exact=True)).to_have_value("\nfirst\nsecond <i>")
    page.get_by_label("Metadata").fill('{"m": 1}')
    page.get_by_role("button", name="Store").click()
    expect(page.get_by_role("status").first).to_have_text("Stored.")
    expect(page.locator("h1")).to_have_text(key)
    expect(page.get_by_label("Value", exact=True)).to_have_text("\nfirst\nsecond <i>")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Keep the end it has")).to_be_checked()
    expect(page.get_by_label("Value", exact=True)).to_have_value("\nfirst\nsecond <i>")
    page.get_by_role("button", name="Store").click()
    expect(page.locator("dl")).to_contain_text("in 1 h 59 min")
    expect(page.locator("dl")).to_contain_text('{"m": 1}')
    page.goto(REPORTS)
    page.get_by_label("Keys that begin with").fill('form "')
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=key).click()
    page.get_by_role("link", name="Delete …").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text(f"Deleted: {key}")


def test_paging_goes_through_every_key(open_page: OpenPage) -> None:
    """Without JavaScript too."""
    page = open_page(java_script_enabled=False)
    page.goto("/_console/kv/PROFILES_KV?prefix=list:")
    seen = page.locator("tbody th").all_inner_texts()
    for _ in range(2):
        page.get_by_role("link", name="Next page").click()
        page.wait_for_load_state()
        seen += page.locator("tbody th").all_inner_texts()
    assert seen == [f"list:{number:03d}" for number in range(230)]
    expect(page.get_by_text("This is the last page.")).to_be_visible()


def test_what_is_stored_runs_nowhere(page: Page) -> None:
    """Markup in key, value and metadata is read as text, and no dialog appears."""
    page.goto(REPORTS)
    page.locator("tbody th a", has_text="nasty:").click()
    expect(page.locator("h1")).to_contain_text("<script>alert('xss')</script>")
    expect(page.locator("h1 .odd")).to_have_text(["U+202E", "U+001B", "U+0000"])
    assert page.locator("main script, main img").count() == 0
    with page.expect_download() as found:
        page.get_by_role("link", name="Download").click()
    assert Path(found.value.path()).read_text() == NASTY
    page.get_by_role("link", name="Delete …").click()
    page.get_by_role("link", name="Keep it").click()
    expect(page.locator("h1")).to_contain_text(NASTY_KEY[:20])


def test_the_log_follows_live_and_pauses(
    page: Page, console_host: ConsoleHost, shoot: Callable[[Page, str], None]
) -> None:
    """New lines go to the top, filtered; a pause holds them back and then shows them."""
    page.goto("/_console/log?route=readyz")
    state = page.locator("#state")
    expect(state).to_have_text("Live")
    rows = page.locator("tbody tr")
    before = rows.count()
    console_host.get("/readyz")
    console_host.get("/healthz")
    expect(rows).to_have_count(before + 1)
    expect(rows.first).to_contain_text("/readyz")
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    console_host.get("/readyz")
    console_host.get("/readyz")
    expect(state).to_have_text("Paused · 2 new lines wait")
    shoot(page, "log-paused")
    assert rows.count() == before + 1
    page.get_by_role("button", name="Go on").click()
    expect(rows).to_have_count(before + 3)
    assert "healthz" not in page.locator("tbody").inner_text()


def test_a_live_page_lets_the_host_stop_and_finds_it_again(
    open_page: OpenPage, complaints: Complaints, tmp_path: Path
) -> None:
    """The stop does not wait for the page; the page says that the host is away."""
    page = open_page()
    with start_host(tmp_path) as host:
        page.goto(host.link)
        page.goto(f"{host.url}/_console/log")
        expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#state")).to_contain_text("does not answer")
    # The browser writes down that its stream broke; that is as it should be.
    complaints.texts.clear()
    page.goto("about:blank")
    complaints.texts.clear()


def test_a_cron_is_run_by_its_button(page: Page, shoot: Callable[[Page, str], None]) -> None:
    """The page then tells when, how long and how it went."""
    page.goto("/_console/crons")
    page.get_by_role("button", name="Run now: 17 3 * * *").click()
    expect(page.get_by_role("status")).to_have_text("17 3 * * * ran to its end.")
    expect(page.get_by_role("row").nth(1)).to_contain_text("done")
    shoot(page, "crons-after")


def test_a_refusal_is_a_page_with_a_way_back(
    page: Page, complaints: Complaints, shoot: Callable[[Page, str], None]
) -> None:
    """An unknown page, and a form of an earlier run."""
    page.goto("/_console/nothing")
    expect(page.locator("h1")).to_have_text("No such page")
    page.goto("/_console/crons")
    page.context.clear_cookies(name="edgekeep_console")
    page.get_by_role("button", name="Run now").first.click()
    expect(page.get_by_role("alert")).to_contain_text("reload the page")
    shoot(page, "refusal")
    page.get_by_role("link", name="To the overview").click()
    expect(page.locator("h1")).to_have_text("Overview")
    complaints.expect("status of 404")
    complaints.expect("status of 403")


class _Evil(BaseHTTPRequestHandler):
    """A page of another site on this machine that tries to reach into the console."""

    target = ""

    def do_GET(self) -> None:
        """Answer with a page that links, embeds, fetches and posts."""
        run = json.dumps(f"{self.target}/_console/crons/run")
        body = f"""<!doctype html><title>evil</title><link rel=icon href="data:,">
        <a id=link href="{self.target}/_console">a link</a>
        <iframe src="{self.target}/_console"></iframe>
        <form id=form method=post action={run}><input name=cron value="17 3 * * *">
        <button>send</button></form>
        <script>
          window.results = Promise.allSettled([
            fetch("{self.target}/_console").then((r) => r.text()),
            fetch({run}, {{method: "POST", mode: "no-cors", credentials: "include",
              body: new URLSearchParams({{cron: "17 3 * * *"}})}}).then((r) => r.type),
          ]).then((all) => all.map((one) => one.status + ":" + one.value));
        </script>""".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def evil(console_host: ConsoleHost) -> Iterator[str]:
    """The address of a page of another site."""
    handler = type("_EvilOfThisHost", (_Evil,), {"target": console_host.url})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_another_site_cannot_reach_in(page: Page, evil: str, complaints: Complaints) -> None:
    """Not by a link, a frame, a fetch or a form, though the visitor has the cookie."""
    page.goto("/_console/crons")
    before = page.locator("tbody").inner_text()
    page.goto(evil)
    results = page.evaluate("() => window.results")
    assert results[0].startswith("rejected")
    assert "Bindings" not in str(results)
    frame = page.frames[1]
    assert "Overview" not in frame.content()
    page.locator("#form button").click()
    expect(page.locator("body")).to_contain_text("Another site")
    page.goto(evil)
    page.locator("#link").click()
    expect(page.locator("body")).to_contain_text("type or paste its address")
    page.goto("/_console/crons")
    assert page.locator("tbody").inner_text().count("took") == before.count("took")
    complaints.texts.clear()
