"""A visitor of the console: keeps its cookie, takes the token from a page, sends its forms."""

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from tests.support.running_host import Answer, RunningHost

ROOT = "/_console"
_TOKEN = re.compile(r'name="csrf" value="([A-Za-z0-9_-]+)"')
# Every probe is a way out of a text, an attribute, or a script.
PROBES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'); alert(1); //",
    "javascript:alert(1)",
    "\u202egpj.exe",
)


@dataclass(slots=True)
class Visitor:
    """One browser without JavaScript."""

    host: RunningHost
    cookie: str = ""
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, status: int = 200) -> str:
        """Return the text of the page at *path*, after taking over its cookie and token."""
        answer = await self.ask("GET", path)
        assert answer.status == status, (path, answer.status, answer.body[:2000])
        return answer.body.decode()

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send one request below the console; redirects are not followed."""
        headers = {**self.headers, **options.pop("headers", {})}
        if self.cookie:
            headers["Cookie"] = self.cookie
        answer = await self.host.ask(
            method, ROOT + path, headers=headers, allow_redirects=False, **options
        )
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            found = _TOKEN.search(answer.body.decode())
            self.token = found[1] if found else self.token
        return answer

    async def post(self, path: str, **fields: str) -> Answer:
        """Send a form with the token of the page that was seen last."""
        body = urlencode({"csrf": self.token, **fields}).encode()
        return await self.ask(
            "POST",
            path,
            data=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

    async def follow(self, answer: Answer) -> str:
        """Return the page that *answer* (303) leads to."""
        assert answer.status == 303, (answer.status, answer.body[:2000])
        return await self.get(answer.headers["Location"].removeprefix(ROOT))


async def visit(host: RunningHost, path: str) -> Visitor:
    """Return a visitor who has seen the page at *path*."""
    visitor = Visitor(host)
    await visitor.get(path)
    return visitor


class _Tame(HTMLParser):
    """Reads a page as a browser does and notes what could run, or deceive the eye."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._inside = tag
        if tag in ("style", "iframe", "object", "base") or (
            tag == "script" and "src" not in values
        ):
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            target = (value or "").strip().lower()
            if name in ("src", "href", "action") and not target.startswith(("/_console", "#")):
                self.found.append(f"{tag} {name}={value}")
            if name.startswith("on") or name in ("style", "srcdoc", "formaction"):
                self.found.append(f"{tag} {name}")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if "\u202e" in data and self._inside not in ("textarea", "title"):
            self.found.append("a mark that turns the direction of text")


def assert_tame(page: str) -> None:
    """Fail when *page* holds a script, style, handler or address that is not the console's own."""
    reader = _Tame()
    reader.feed(page)
    reader.close()
    assert reader.found == []


def words(page: str) -> str:
    """Return what a reader of *page* reads, with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
