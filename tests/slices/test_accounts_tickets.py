"""WebSocket tickets: thirty seconds, one audience, once, also when two come at the same moment."""

import asyncio
from typing import Any

import jwt
import pytest
from aiohttp import WSServerHandshakeError

from tests.support.accounts import Person, bearer, later, open_page, sign_in, sign_up
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost
from worker.accounts import store

IMPORT = "/api/profiles/import/progress?id=imp_20261121080000_abcdef"


async def _admin(host: RunningHost) -> Person:
    person = await sign_up(host)
    await store.set_role(host.env, person.grant["account_id"], "admin")
    return await sign_in(host)


async def _ticket(person: Person, audience: str = "api") -> str:
    answer = await person.ask("POST", "/v1/tickets", json={"audience": audience})
    assert answer.status == 200, answer.body
    told = answer.json()
    assert told["expires_in"] == 30
    return str(told["ticket"])


async def _opens(host: RunningHost, token: str) -> bool:
    try:
        async with host.session.ws_connect(f"{host.url}{IMPORT}&token={token}") as socket:
            return (await socket.receive_json())["event"] == "waiting"
    except WSServerHandshakeError as refused:
        if refused.status != 401:
            raise
        return False


async def test_a_ticket_opens_one_socket_once(host: RunningHost) -> None:
    """The second use is refused, and so is its use as a bearer or before the door it is for."""
    admin = await _admin(host)
    ticket = await _ticket(admin)

    refused = await host.get("/v1/sessions", headers=bearer(ticket))
    assert_problem(refused, 401, "unauthorized")
    assert await _opens(host, ticket)
    assert not await _opens(host, ticket)
    assert not await _opens(host, await _ticket(admin, "relay"))
    assert await _opens(host, admin.grant["token"])
    host.env.log.flush()
    assert ticket not in "".join(host.log)


async def test_of_parallel_uses_one_wins(host: RunningHost) -> None:
    """The database decides, not the order in which they arrived."""
    ticket = await _ticket(await _admin(host))
    opened = await asyncio.gather(*(_opens(host, ticket) for _ in range(10)))
    assert opened.count(True) == 1


@pytest.mark.parametrize(("seconds", "holds"), [(29, True), (31, False)])
async def test_a_ticket_ends_after_thirty_seconds(
    host: RunningHost, seconds: int, holds: bool
) -> None:
    """Not used by then, it is of no use."""
    host.clock.stand()
    ticket = await _ticket(await _admin(host))
    later(host, seconds)
    assert await _opens(host, ticket) is holds


async def test_a_ticket_ends_with_its_session(host: RunningHost) -> None:
    """Signing out closes what was about to open."""
    admin = await _admin(host)
    ticket = await _ticket(admin)
    await admin.ask("DELETE", "/v1/sessions")
    assert not await _opens(host, ticket)


async def test_a_ticket_carries_no_more_than_its_person(host: RunningHost) -> None:
    """Without the scope of the door it is a 403, with none of the admin's rights in the relay."""
    person = await sign_up(host)
    ticket = await _ticket(person)
    answer = await host.get(f"{IMPORT}&token={ticket}")
    assert_problem(answer, 403, "forbidden")
    claims: dict[str, Any] = jwt.decode(
        await _ticket(person, "relay"), options={"verify_signature": False}
    )
    assert (claims["scope"], claims["aud"]) == ("", "relay")
    assert claims["exp"] - claims["iat"] == 30


async def test_each_token_gives_tickets_for_its_own_audience(host: RunningHost) -> None:
    """A client that only has a token for the relay needs no other to open its socket."""
    person = await sign_up(host, audience="relay")
    await _ticket(person, "relay")
    for audience in ("api", "backup", "replication"):
        answer = await person.ask("POST", "/v1/tickets", json={"audience": audience})
        assert_problem(answer, 403, "forbidden")
    api = await sign_in(host)
    for audience in ("api", "relay", "backup", "replication"):
        await _ticket(api, audience)
    for body in ({}, {"audience": "x"}, {"audience": 1}):
        answer = await api.ask("POST", "/v1/tickets", json=body)
        assert_problem(answer, 400, "bad_request", members=["errors"])


async def test_a_page_opens_a_socket_by_its_cookie_from_our_origin_only(host: RunningHost) -> None:
    """A handshake carries cookies from anywhere (hijacking): it must say that it is our page."""
    await _admin(host)
    page = await open_page(host)

    async def status(origin: str | None) -> int:
        headers = {"Cookie": page.headers["Cookie"]}
        if origin is not None:
            headers["Origin"] = origin
        try:
            async with host.session.ws_connect(host.url + IMPORT, headers=headers):
                return 101
        except WSServerHandshakeError as refused:
            return refused.status

    assert await status(host.env.settings.public_url) == 101
    for origin in (None, "null", "https://evil.example", host.env.settings.public_url + ".x"):
        assert await status(origin) == 403
