"""The link that opens the console, in a real browser."""

from playwright.sync_api import Browser

from tests.browser.conftest import ConsoleHost


def test_the_link_opens_the_console(browser: Browser, console_host: ConsoleHost) -> None:
    """The key leaves the address bar, the next page opens too; another profile stays out."""
    mine, other = browser.new_context(), browser.new_context()
    page = mine.new_page()
    page.goto(console_host.link)
    assert page.url == f"{console_host.url}/_console"
    page.get_by_role("link", name="KV", exact=True).click()
    assert page.title().startswith("KV")
    assert console_host.key not in page.evaluate("document.cookie")
    refused = other.new_page().goto(f"{console_host.url}/_console")
    assert refused is not None
    assert refused.status == 403
    mine.close()
    other.close()
