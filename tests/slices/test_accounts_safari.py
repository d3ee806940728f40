"""Safari over plain http on this machine: pages can sign in, in development and nowhere else."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import PASSWORD, Page, set_cookies, sign_up
from tests.support.mails import DOOR, newest_link, open_link
from tests.support.problems import assert_problem
from tests.support.running_host import Answer, RunningHost, running_host

SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/26.1 Safari/605.1.15"
)
CHROME = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0"


class SafariPage(Page):
    """A page in Safari: it drops Secure cookies and sends the proof from the cookie it sees."""

    async def ask(
        self, method: str, path: str, change: dict[str, str | None] | None = None, **options: Any
    ) -> Answer:
        """Call a door as Safari does."""
        mine = {"User-Agent": SAFARI, "X-CSRF-Token": self.cookies.get("dev-csrf", "")}
        return await super().ask(method, path, {**mine, **(change or {})}, **options)

    def keep(self, answer: Answer) -> None:
        """Keep what Safari keeps over plain http: nothing Secure."""
        assert not [one for one in set_cookies(answer) if "Secure" in one]
        super().keep(answer)


async def test_a_page_in_safari_signs_in_refreshes_and_leaves(host: RunningHost) -> None:
    """By cookies without Secure, scripts see but the proof; the log says so."""
    await sign_up(host)
    page = SafariPage(host)
    body = {"username": "alice", "password": PASSWORD, "cookies": True}
    answer = await page.ask("POST", "/v1/sessions", json=body)

    assert set(page.cookies) == {"dev-session", "dev-refresh", "dev-csrf"}
    assert len([one for one in set_cookies(answer) if "HttpOnly" in one]) == 2
    assert (await page.ask("GET", "/api/auth/session")).status == 200
    refused = await page.ask("POST", "/v1/tickets", {"X-CSRF-Token": None}, json={})
    assert_problem(refused, 403, "csrf_failed")
    assert (await page.ask("POST", "/v1/sessions/refresh")).status == 200
    assert (await page.ask("POST", "/api/auth/signout")).status == 204
    assert page.cookies == {}
    assert "cookies_without_secure" in [event["event"] for event in host.events()]


async def test_a_magic_link_opens_in_safari(host: RunningHost) -> None:
    """In the browser that asked; another still is another."""
    page = SafariPage(host)
    assert (await page.ask("POST", DOOR, json={"email": "ada@example.org"})).status == 202
    path = await newest_link(host)
    assert_problem(await open_link(SafariPage(host), path), 403, "other_browser")
    assert (await open_link(page, path)).status == 200
    assert (await page.ask("GET", "/api/auth/session")).status == 200


@pytest.mark.parametrize("agent", [CHROME, FIREFOX, "curl/8.5", ""])
async def test_every_other_browser_gets_the_cookies_of_always(
    host: RunningHost, agent: str
) -> None:
    """And a cookie by another name opens nothing there."""
    await sign_up(host)
    page = Page(host)
    body = {"username": "alice", "password": PASSWORD, "cookies": True}
    await page.ask("POST", "/v1/sessions", {"User-Agent": agent}, json=body)
    assert set(page.cookies) == {"__Host-session", "__Host-refresh", "__Host-csrf"}
    page.cookies = {name.replace("__Host-", "dev-"): it for name, it in page.cookies.items()}
    opened = await page.ask("GET", "/api/auth/session", {"User-Agent": agent})
    assert opened.status == 401


@pytest.mark.parametrize(
    "more",
    [
        {"PUBLIC_URL": "https://edge.example"},
        {"PUBLIC_URL": "http://laptop.example:8788"},
        {"ENVIRONMENT": "production"},
    ],
)
async def test_nowhere_else(tmp_path: Path, more: dict[str, str]) -> None:
    """In production or under another name Safari gets Secure cookies, and no others are read."""
    async with running_host(tmp_path, **more) as host:
        await sign_up(host)
        page = Page(host)
        body = {"username": "alice", "password": PASSWORD, "cookies": True}
        answer = await page.ask("POST", "/v1/sessions", {"User-Agent": SAFARI}, json=body)
        assert all("Secure" in one for one in set_cookies(answer))
        page.cookies = {name.replace("__Host-", "dev-"): it for name, it in page.cookies.items()}
        opened = await page.ask("GET", "/api/auth/session", {"User-Agent": SAFARI})
        assert opened.status == 401
