"""Ways into an account: told, added with proof, removed but never the last."""

import asyncio

import pytest

from tests.support.accounts import (
    OTHER_PASSWORD,
    PASSWORD,
    Page,
    Person,
    bearer,
    later,
    post,
    sign_in,
    sign_up,
)
from tests.support.held import held
from tests.support.key_pairs import KeyPair, link
from tests.support.mails import (
    account_of,
    mails,
    newest_link,
    open_link,
    signed_in,
    ways_of,
)
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost
from worker.registry import DATA_HOLDERS
from worker.routes import ROUTES

_EMAIL = "/v1/identities/email"


async def _asked(page: Page, email: str = "ada@example.org", **more: str) -> str:
    answer = await page.ask("POST", _EMAIL, json={"email": email, **more})
    assert answer.status == 202, answer.body
    return await newest_link(page.host)


async def _page_of(host: RunningHost, name: str = "alice") -> Page:
    await sign_up(host, name)
    page = Page(host)
    body = {"username": name, "password": PASSWORD, "cookies": True}
    assert (await page.ask("POST", "/v1/sessions", json=body)).status == 200
    return page


async def test_each_way_in_is_told_and_nothing_secret(host: RunningHost) -> None:
    """Kind, a hint that tells them apart, when; ids are opaque and stay."""
    person = await sign_up(host)
    assert (await link(person, KeyPair())).status == 201
    told = await ways_of(person)

    assert [way["kind"] for way in told] == ["password", "pq_key"]
    assert told[0]["hint"] == "alice"
    assert len(told[1]["hint"]) == 15
    assert all(set(way) == {"id", "kind", "hint", "created_at"} for way in told)
    assert await ways_of(person) == told
    other = await sign_up(host, "bob")
    assert not {way["id"] for way in await ways_of(other)} & {way["id"] for way in told}


async def test_a_mailbox_is_linked_in_the_browser_that_asked(host: RunningHost) -> None:
    """Another browser leaves the link whole; then both ways lead to one account."""
    page = await _page_of(host)
    mine = await account_of(page)
    path = await _asked(page, next="/settings")
    assert_problem(await open_link(Page(host), path), 403, "other_browser")
    assert [way["kind"] for way in await ways_of(page)] == ["password"]
    answer = await open_link(page, path)

    assert (answer.status, answer.headers["Location"]) == (303, "/settings")
    assert [way["kind"] for way in await ways_of(page)] == ["password", "email"]
    assert await account_of(await signed_in(host)) == mine
    assert_problem(await open_link(page, path), 401, "invalid_link")
    [mail] = [mail for mail in await mails(host) if "Link" in mail["Subject"]]
    assert "link this mailbox" in mail.get_content()
    # Once more is no fault.
    assert (await open_link(page, await _asked(page))).json() == {"linked": "email"}
    assert len(await ways_of(page)) == 2


async def test_a_program_opens_the_link_with_its_session(host: RunningHost) -> None:
    """Not with another session of the same account, nor of another; the cookie is not needed."""
    person = await sign_up(host)
    second, other = await sign_in(host), await sign_up(host, "bob")
    asked = await person.ask("POST", _EMAIL, json={"email": "ada@example.org"})
    assert asked.status == 202
    token = (await newest_link(host)).partition("token=")[2]
    for stranger in (second, other):
        answer = await stranger.ask("POST", f"{_EMAIL}/verify", json={"token": token})
        assert_problem(answer, 401, "invalid_link")
    opened = await person.ask("POST", f"{_EMAIL}/verify", json={"token": token})
    assert opened.status == 204
    again = await person.ask("POST", f"{_EMAIL}/verify", json={"token": token})
    assert_problem(again, 401, "invalid_link")
    assert [way["kind"] for way in await ways_of(person)] == ["password", "email"]


async def test_a_mailbox_of_another_account_is_told_after_the_proof(host: RunningHost) -> None:
    """The answer that asks is the same; the account that has it keeps it."""
    owner = await signed_in(host)
    page = await _page_of(host)
    path = await _asked(page)
    assert_problem(await open_link(page, path), 409, "identity_taken")
    assert await account_of(await signed_in(host)) == await account_of(owner)
    assert [way["kind"] for way in await ways_of(page)] == ["password"]


async def test_a_link_ends_with_the_session_that_asked(host: RunningHost) -> None:
    """Signed out meanwhile, on this device or everywhere: nothing is linked."""
    page = await _page_of(host)
    kept = dict(page.cookies)
    path = await _asked(page)
    kept["__Host-magic"] = page.cookies["__Host-magic"]
    assert (await page.ask("DELETE", "/v1/sessions")).status == 204
    assert_problem(await open_link(Page(host, kept), path), 401, "invalid_link")
    assert [way["kind"] for way in await ways_of(await sign_in(host))] == ["password"]


async def test_a_username_and_a_password_are_added_once(host: RunningHost) -> None:
    """Judged as at registration; then they sign in to the same account."""
    page = await signed_in(host)
    door = "/v1/identities/password"
    weak = await page.ask("POST", door, json={"username": "A!", "password": "password1234"})
    document = assert_problem(weak, 422, "unprocessable", members={"errors"})
    assert {error["field"] for error in document["errors"]} == {"username", "password"}
    await sign_up(host, "taken")
    body = {"username": "Taken", "password": PASSWORD}
    assert_problem(await page.ask("POST", door, json=body), 409, "username_taken")
    added = await page.ask("POST", door, json={"username": "Ａda", "password": PASSWORD})
    assert (added.status, added.json()["hint"]) == (201, "ada")
    assert (await sign_in(host, "ada")).grant["account_id"] == await account_of(page)
    for name in ("ada", "ada_too"):
        body = {"username": name, "password": OTHER_PASSWORD}
        answer = await page.ask("POST", door, json=body)
        assert answer.status == 409
    assert len(await ways_of(page)) == 2


async def test_parallel_links_of_one_key_go_to_one_account(host: RunningHost) -> None:
    """Ten accounts prove the same key at once: one has it, the others are told."""
    pair = KeyPair()
    people = [await sign_up(host, f"person_{number}") for number in range(10)]
    answers = await asyncio.gather(*(link(person, pair) for person in people))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 9
    kinds = [way["kind"] for person in people for way in await ways_of(person)]
    assert kinds.count("pq_key") == 1


async def test_the_last_way_in_stays(host: RunningHost) -> None:
    """Also when all are removed at once; the caller's other sessions end with a removal."""
    person = await sign_up(host)
    for _ in range(3):
        assert (await link(person, KeyPair())).status == 201
    other = await sign_in(host)
    ways = await ways_of(person)
    answers = await asyncio.gather(
        *(person.ask("DELETE", f"/v1/identities/{way['id']}") for way in ways)
    )
    assert sorted(answer.status for answer in answers) == [204, 204, 204, 409]
    refused = next(answer for answer in answers if answer.status == 409)
    assert_problem(refused, 409, "last_identity")
    assert len(await ways_of(person)) == 1
    assert not await other.is_in()
    assert await person.is_in()


async def test_a_removed_way_no_longer_leads_in(host: RunningHost) -> None:
    """A removed password is unknown; a removed mailbox leads to an account of its own."""
    page = await signed_in(host)
    mine = await account_of(page)
    body = {"username": "ada", "password": PASSWORD}
    assert (await page.ask("POST", "/v1/identities/password", json=body)).status == 201
    email, password = await ways_of(page)
    assert (await page.ask("DELETE", f"/v1/identities/{email['id']}")).status == 204
    assert_problem(await page.ask("DELETE", f"/v1/identities/{email['id']}"), 404, "not_found")
    assert_problem(
        await page.ask("DELETE", f"/v1/identities/{password['id']}"), 409, "last_identity"
    )
    assert await account_of(await signed_in(host)) != mine
    assert (await sign_in(host, "ada")).grant["account_id"] == mine


async def test_nobody_touches_ways_of_others(host: RunningHost) -> None:
    """An id of another account, or of none, is not found."""
    alice, bob = await sign_up(host), await sign_up(host, "bob")
    await link(bob, KeyPair())
    for way in await ways_of(bob):
        answer = await alice.ask("DELETE", f"/v1/identities/{way['id']}")
        assert_problem(answer, 404, "not_found")
    assert len(await ways_of(bob)) == 2


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if "/v1/identities" in route.path],
    ids=lambda route: f"{route.method} {route.path}",
)
async def test_ways_in_are_changed_soon_after_a_sign_in_only(
    host: RunningHost, route: object
) -> None:
    """Strangers and machines never; a session of eleven minutes reads, and opens its links."""
    method, path = route.method, route.path.replace("{id}", "x" * 16)  # type: ignore[attr-defined]
    assert (await host.ask(method, path, json={})).status == 401
    machine = await host.ask(method, path, json={}, headers=host.bearer("profiles:import"))
    assert_problem(machine, 403, "forbidden")
    person = await sign_up(host)
    later(host, 601)
    answer = await person.ask(method, path, json={})
    if method == "GET" or path.endswith("/email/verify"):
        assert answer.status in (200, 400)
    else:
        assert_problem(answer, 403, "sign_in_again")
    relay = await Person(host, (await sign_in(host)).grant).ask(
        "POST", "/v1/tokens", json={"audience": "relay"}
    )
    token = relay.json()["token"]
    assert (await host.ask(method, path, json={}, headers=bearer(token))).status == 401


async def test_a_page_needs_its_proof(host: RunningHost) -> None:
    """Cookies alone change nothing: another site's page has them sent, too."""
    page = await _page_of(host)
    for change in ({"X-CSRF-Token": None}, {"Origin": "https://evil.example"}):
        answer = await page.ask("POST", _EMAIL, change, json={"email": "eve@evil.example"})
        assert_problem(answer, 403, "csrf_failed")
    assert await mails(host) == []


async def test_an_account_is_exported_and_erased(host: RunningHost) -> None:
    """Its row, ways and sessions, without hashes and keys; then nothing is left, tokens too."""
    page = await signed_in(host)
    mine = await account_of(page)
    body = {"username": "ada", "password": PASSWORD, "label": "laptop"}
    await page.ask("POST", "/v1/identities/password", json=body)
    await post(host, "/v1/sessions", **body)
    holder = DATA_HOLDERS["account"]
    [told] = (await held(host.env, holder, mine))["account"]

    assert (told["id"], told["role"], told["disabled_at"]) == (mine, "owner", None)
    assert [way["kind"] for way in told["identities"]] == ["email", "password"]
    assert {each["label"] for each in told["sessions"]} == {None, "laptop"}
    assert "argon2" not in str(told)
    assert list(DATA_HOLDERS)[-1] == "account"
    for _ in range(2):
        await holder.erase(host.env, mine)
        assert await held(host.env, holder, mine) == {}
    assert (await page.ask("GET", "/api/auth/session")).status == 401
    assert (await post(host, "/v1/sessions", **body)).status == 401
    assert await account_of(await signed_in(host)) != mine
