"""/docs in a browser: text without scripts, the viewer with them, nothing from outside."""

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request

from tests.browser.conftest import Complaints, ConsoleHost, OpenPage
from tests.browser.looks import NARROW, check_contrast, check_fits, check_form
from tests.support.running_host import SECRETS
from worker.identity.tokens import issue
from worker.settings import Settings

READY = "html[data-viewer=on]"
REPORT = "#operations-profiles-importReport"


def outside(page: Page, host: ConsoleHost) -> list[str]:
    """Return a list that fills with the addresses that *page* asks beyond *host*."""
    found: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((host.url, "data:")):
            found.append(request.url)

    page.on("request", asked)
    return found


@pytest.mark.parametrize("scripts", [True, False])
def test_the_plain_page_is_fit_to_be_read(
    scripts: bool,
    open_page: OpenPage,
    console_host: ConsoleHost,
    shoot: Callable[[Page, str], None],
) -> None:
    """Light, dark and narrow; the same with scripts off as behind the link "Plain page"."""
    page = open_page(java_script_enabled=scripts, color_scheme="light")
    found = outside(page, console_host)
    page.goto("/docs?view=plain" if scripts else "/docs")
    assert page.locator("h1").inner_text() == "Edgekeep API"
    assert page.locator("article#door-importProfiles").is_visible()
    check_form(page)
    check_contrast(page)
    check_fits(page)
    shoot(page, f"docs-plain-{scripts}-light")
    page.emulate_media(color_scheme="dark")
    check_contrast(page)
    shoot(page, f"docs-plain-{scripts}-dark")
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    check_fits(page)
    assert found == []


def test_the_plain_page_can_be_walked_with_the_keyboard(open_page: OpenPage) -> None:
    """The first stop leads past the header; each door of the list is a link to its section."""
    page = open_page()
    page.goto("/docs?view=plain")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav').ariaLabel") == "Doors"
    page.keyboard.press("Enter")
    assert "#door-" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_viewer_takes_over_and_asks_nobody_else(
    scheme: str,
    open_page: OpenPage,
    console_host: ConsoleHost,
    shoot: Callable[[Page, str], None],
) -> None:
    """With scripts on every door stands in Swagger UI, in the colours of the system."""
    page = open_page(color_scheme=scheme)
    found = outside(page, console_host)
    page.goto("/docs")
    page.wait_for_selector(READY)

    assert not page.locator("#plain").is_visible()
    assert page.locator(".opblock").count() == page.evaluate(
        "fetch('/openapi.json').then(answer => answer.json()).then(document =>"
        " Object.values(document.paths).flatMap(item => Object.keys(item)).length)"
    )
    dark = page.evaluate("document.documentElement.classList.contains('dark-mode')")
    assert dark == (scheme == "dark")
    assert found == []
    shoot(page, f"docs-viewer-{scheme}")


def test_a_door_can_be_tried_with_a_token(open_page: OpenPage, complaints: Complaints) -> None:
    """By keyboard: a token is given, a door opened and asked; the answer is shown."""
    settings = Settings.load(SECRETS)
    token = issue(settings.signing_keys, "tester", ["profiles:import"], time.time(), 15)
    page = open_page()
    page.goto("/docs")
    page.wait_for_selector(READY)

    page.locator(".btn.authorize").press("Enter")
    dialog = page.locator(".auth-container", has_text="bearer")
    dialog.locator("input").fill(token)
    dialog.locator("button[type=submit]").press("Enter")
    page.locator(".btn-done").first.press("Enter")
    page.locator(f"{REPORT} .opblock-summary-control").press("Enter")
    page.locator(f"{REPORT} .execute").press("Enter")
    answer = page.locator(f"{REPORT} .live-responses-table")
    answer.wait_for()

    # Past the door: without the token it would be 401.
    assert "404" in answer.locator("tbody .response-col_status").first.inner_text()
    assert "not_found" in answer.inner_text()
    assert page.evaluate("JSON.stringify([localStorage, sessionStorage])") == "[{},{}]"
    # What the browser says of any 404.
    assert len(complaints.texts) == 1
    complaints.texts.clear()


def test_a_viewer_that_does_not_come_leaves_the_text(
    open_page: OpenPage, complaints: Complaints
) -> None:
    """When its script cannot be loaded the page reads as without scripts."""
    page = open_page()
    page.route("**/swagger-ui-bundle.js", lambda route: route.abort())
    page.goto("/docs")
    page.wait_for_selector("html[data-viewer=off]")

    assert page.locator("article#door-importProfiles").is_visible()
    complaints.texts.clear()
