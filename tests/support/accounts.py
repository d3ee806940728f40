"""People for the tests of accounts: they sign up, sign in and call doors as a program or a page."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from tests.support.running_host import Answer, RunningHost

PASSWORD = "tangerine velocity 9"
OTHER_PASSWORD = "sixteen quiet lanterns"


@dataclass(slots=True)
class Person:
    """Somebody who signed in at *host*, and what that gave."""

    host: RunningHost
    grant: dict[str, Any]

    @property
    def bearer(self) -> dict[str, str]:
        """The header of a program."""
        return bearer(self.grant["token"])

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Call a door with the token."""
        return await self.host.ask(method, path, headers=self.bearer, **options)

    async def get(self, path: str) -> Answer:
        """GET *path* with the token."""
        return await self.ask("GET", path)

    async def refresh(self, **members: Any) -> Answer:
        """Spend the refresh token; what comes back is kept when it is good."""
        body = {"refresh_token": self.grant["refresh_token"], **members}
        answer = await self.host.ask("POST", "/v1/sessions/refresh", json=body)
        if answer.status == 200:
            self.grant = {**self.grant, **answer.json()}
        return answer

    async def is_in(self) -> bool:
        """Whether the token opens a door for people."""
        return (await self.get("/api/auth/session")).status == 200


@dataclass(slots=True)
class Page:
    """A page of a browser: it holds cookies and sends their proof."""

    host: RunningHost
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """What a browser sends from our own page, and what its script adds."""
        return {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "Origin": self.host.env.settings.public_url,
            "X-CSRF-Token": self.cookies.get("__Host-csrf", ""),
        }

    async def ask(
        self, method: str, path: str, change: dict[str, str | None] | None = None, **options: Any
    ) -> Answer:
        """Call a door; *change* replaces headers, None removes one."""
        headers = {**self.headers, **(change or {})}
        sent = {name: value for name, value in headers.items() if value is not None}
        answer = await self.host.ask(method, path, headers=sent, **options)
        self.keep(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Do with Set-Cookie what a browser does."""
        for line in set_cookies(answer):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value


def set_cookies(answer: Answer) -> list[str]:
    """Return the Set-Cookie fields of an answer."""
    found: list[str] = answer.headers.getall("Set-Cookie", [])  # type: ignore[attr-defined]
    return found


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries *token*."""
    return {"Authorization": f"Bearer {token}"}


async def post(host: RunningHost, path: str, **body: Any) -> Answer:
    """POST a JSON object."""
    return await host.ask("POST", path, json=body)


async def sign_up(host: RunningHost, name: str = "alice", **more: Any) -> Person:
    """Make an account; fail when it is refused."""
    answer = await post(host, "/v1/users", username=name, password=PASSWORD, **more)
    assert answer.status == 201, answer.body
    return Person(host, answer.json())


async def sign_in(
    host: RunningHost, name: str = "alice", password: str = PASSWORD, **more: Any
) -> Person:
    """Sign in; fail when it is refused."""
    answer = await post(host, "/v1/sessions", username=name, password=password, **more)
    assert answer.status == 200, answer.body
    return Person(host, answer.json())


async def open_page(host: RunningHost, name: str = "alice") -> Page:
    """Sign in as a page does."""
    page = Page(host)
    body = {"username": name, "password": PASSWORD, "cookies": True}
    answer = await page.ask("POST", "/v1/sessions", json=body)
    assert answer.status == 200, answer.body
    return page


def later(host: RunningHost, seconds: float) -> None:
    """Move the host's clock."""
    host.clock.forward(seconds)
