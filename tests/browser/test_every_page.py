"""Every page of the console: reads without JavaScript, in light and dark, on a narrow screen."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import ConsoleHost, OpenPage
from tests.browser.looks import NARROW, check_contrast, check_fits, check_form
from tests.browser.seeding import LONG_KEY, NASTY_KEY

_REPORTS = "/_console/kv/IMPORT_REPORT_KV"
PAGES = {
    "overview": "/_console",
    "kv": "/_console/kv",
    "kv_keys": "/_console/kv/PROFILES_KV",
    "kv_odd_keys": _REPORTS,
    "kv_json": f"{_REPORTS}/value?key=json",
    "kv_nasty": f"{_REPORTS}/value?key={quote(NASTY_KEY)}",
    "kv_long_key": f"{_REPORTS}/value?key={quote(LONG_KEY)}",
    "kv_large": f"{_REPORTS}/value?key=large",
    "kv_binary": f"{_REPORTS}/value?key=binary",
    "kv_put": f"{_REPORTS}/put",
    "kv_edit": f"{_REPORTS}/put?key=ends",
    "kv_delete": f"{_REPORTS}/delete?key=ends",
    "log": "/_console/log",
    "crons": "/_console/crons",
    "settings": "/_console/settings",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_fit_to_be_read(
    name: str,
    open_page: OpenPage,
    console_host: ConsoleHost,
    shoot: Callable[[Page, str], None],
) -> None:
    """Labels, captions, contrast in light and dark, no sideways scroll at 360 pixels."""
    console_host.get("/api/profiles/count")
    page = open_page(color_scheme="light", viewport={"width": 1280, "height": 800})
    answer = page.goto(PAGES[name])
    assert answer is not None
    assert answer.status == 200
    check_form(page)
    check_contrast(page)
    check_fits(page)
    shoot(page, f"{name}-light")
    page.emulate_media(color_scheme="dark")
    check_contrast(page)
    shoot(page, f"{name}-dark")
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    check_fits(page)
    shoot(page, f"{name}-narrow")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_the_same_without_javascript(name: str, open_page: OpenPage) -> None:
    """Heading and table stand in the page as it was sent."""
    page = open_page(java_script_enabled=False)
    page.goto(PAGES[name])
    assert page.locator("h1").inner_text()
    assert page.locator("main").inner_text().count("\n") > 1
