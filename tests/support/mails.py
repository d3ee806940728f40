"""Mail that a host in development wrote, and people who open the links in it."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from tests.support.accounts import Page, Person
from tests.support.running_host import Answer, RunningHost

DOOR = "/api/auth/magic-link"
_LINK = re.compile(r"http\S+(/api/auth/magic-link/verify\?token=\S+)")


async def mails(host: RunningHost) -> list[EmailMessage]:
    """Return what lies in the outbox once all work behind answers is done, the oldest first."""
    await host.env.tools.finish()  # type: ignore[attr-defined]
    found = []
    for path in sorted((host.opened.stores.state / "outbox").glob("*.eml")):
        mail = message_from_bytes(path.read_bytes(), policy=default)
        assert isinstance(mail, EmailMessage)
        found.append(mail)
    return found


async def newest_link(host: RunningHost) -> str:
    """Return the path of the link in the newest mail."""
    return link_in((await mails(host))[-1].get_content())


def link_in(text: str) -> str:
    """Return the path of the link in the text of a mail."""
    found = _LINK.search(text)
    assert found is not None, text
    return found[1]


async def ask_for_link(page: Page, email: str = "ada@example.org", **more: Any) -> str:
    """Ask for a link as *page* does and return its path."""
    answer = await page.ask("POST", DOOR, json={"email": email, **more})
    assert answer.status == 202, answer.body
    return await newest_link(page.host)


async def open_link(page: Page, path: str, **headers: str) -> Answer:
    """Open a link as a browser does: no page of ours asks, so no Origin and no proof."""
    change = {"Origin": None, "X-CSRF-Token": None, **headers}
    return await page.ask("GET", path, change=change, allow_redirects=False)


async def signed_in(host: RunningHost, email: str = "ada@example.org") -> Page:
    """Return a page of somebody who signed in by e-mail."""
    page = Page(host)
    answer = await open_link(page, await ask_for_link(page, email))
    assert answer.status == 200, answer.body
    return page


async def account_of(page: Page) -> str:
    """Return the account that *page* is signed in to."""
    answer = await page.ask("GET", "/api/auth/session")
    assert answer.status == 200, answer.body
    return str(answer.json()["account_id"])


async def ways_of(person: Person | Page) -> list[dict[str, Any]]:
    """Return the ways into the account of *person*."""
    answer = await person.ask("GET", "/v1/identities")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["items"]
    return found
