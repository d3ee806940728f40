"""A mail that is read on another device: its code is typed in the browser that asked."""

import asyncio
import re
from collections.abc import Callable

import pytest

from tests.support.accounts import Page, later, sign_up
from tests.support.mails import account_of, ask_for_link, mails, open_link, signed_in, ways_of
from tests.support.problems import assert_problem
from tests.support.running_host import Answer, RunningHost
from worker.accounts.magic_link import CODE_TRIES, MAGIC_LINK_SECONDS

_DOOR = "/api/auth/magic-link/code"
_CODE = re.compile(r"code there: ([0-9A-Z]{4}-[0-9A-Z]{4})")


async def mailed_code(host: RunningHost) -> str:
    """Return the code in the newest mail."""
    found = _CODE.search((await mails(host))[-1].get_content())
    assert found is not None
    return found[1]


async def type_in(page: Page, code: str, email: str = "ada@example.org") -> Answer:
    """Type *code* as a person does on *page*."""
    return await page.ask("POST", _DOOR, json={"email": email, "code": code})


async def test_the_code_signs_in_where_the_link_was_asked_for(host: RunningHost) -> None:
    """The phone that opens the mail is told so; the laptop types; it is the same account."""
    account = await account_of(await signed_in(host))
    laptop, phone = Page(host), Page(host)
    path = await ask_for_link(laptop)
    assert_problem(await open_link(phone, path), 403, "other_browser")

    answer = await type_in(laptop, await mailed_code(host))

    assert answer.status == 200
    assert "token" not in answer.json()
    assert await account_of(laptop) == account


@pytest.mark.parametrize("change", [str.lower, lambda code: code.replace("-", " "), str.strip])
async def test_a_code_is_read_as_people_type(
    host: RunningHost, change: Callable[[str], str]
) -> None:
    """Case and dash do not count, nor what is taken for a digit, nor blanks around the address."""
    page = Page(host)
    await ask_for_link(page)
    typed = change(await mailed_code(host)).replace("0", "O").replace("1", "l")
    assert (await type_in(page, typed, " Ada@Example.org ")).status == 200


async def test_a_code_is_of_use_in_no_other_browser(host: RunningHost) -> None:
    """Nor for another address, nor without the cookie: who is talked out of it loses nothing."""
    victim, thief = Page(host), Page(host)
    await ask_for_link(victim)
    code = await mailed_code(host)
    await ask_for_link(thief, "thief@example.org")
    for page, email in ((thief, "ada@example.org"), (thief, "thief@example.org"), (Page(host), "")):
        answer = await type_in(page, code, email or "ada@example.org")
        assert_problem(answer, 401, "invalid_link")
    assert_problem(await type_in(victim, code, "thief@example.org"), 401, "invalid_link")
    assert (await type_in(victim, code)).status == 200


async def test_a_code_holds_once_and_as_long_as_its_link(host: RunningHost) -> None:
    """Of ten at once one goes through; eleven minutes later none."""
    page = Page(host)
    await ask_for_link(page)
    code = await mailed_code(host)
    answers = await asyncio.gather(
        *(type_in(Page(host, dict(page.cookies)), code) for _ in range(4))
    )
    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401]

    late = Page(host)
    await ask_for_link(late)
    code = await mailed_code(host)
    later(host, MAGIC_LINK_SECONDS + 60)
    assert_problem(await type_in(late, code), 401, "invalid_link")


async def test_a_code_holds_to_the_end_of_its_link(host: RunningHost) -> None:
    """Nearly ten minutes."""
    page = Page(host)
    await ask_for_link(page)
    code = await mailed_code(host)
    later(host, MAGIC_LINK_SECONDS - 30)
    assert (await type_in(page, code)).status == 200


async def test_a_code_is_not_guessed(host: RunningHost) -> None:
    """A few tries, at once too; then not even the right one, but the link still opens."""
    page = Page(host)
    path = await ask_for_link(page)
    code = await mailed_code(host)
    wrong = await asyncio.gather(*(type_in(page, f"0000-000{n}") for n in range(CODE_TRIES)))
    assert {answer.status for answer in wrong} == {401}
    assert_problem(await type_in(page, code), 401, "invalid_link")
    assert (await open_link(page, path)).status == 200


async def test_another_sites_page_types_nothing(host: RunningHost) -> None:
    """Nobody is signed in to an account that a stranger chose."""
    page = Page(host)
    await ask_for_link(page)
    body = {"email": "ada@example.org", "code": await mailed_code(host)}
    refused = await page.ask("POST", _DOOR, {"Origin": "https://evil.example"}, json=body)
    assert_problem(refused, 403, "csrf_failed")
    for odd in ({"code": "x"}, {"email": "x", "code": "x"}, {"email": "a@b.example", "code": 5}):
        answer = await page.ask("POST", _DOOR, json=odd)
        assert_problem(answer, 400, "bad_request", members=["errors"])


async def test_a_code_links_a_mailbox(host: RunningHost) -> None:
    """With the session and in the browser that asked; a code to sign in links nothing."""
    person = await sign_up(host)
    page = Page(host)
    asked = {"email": "ada@example.org"}
    headers = {**person.bearer}
    answer = await host.ask("POST", "/v1/identities/email", json=asked, headers=headers)
    page.keep(answer)
    code = await mailed_code(host)
    assert_problem(await type_in(page, code), 401, "invalid_link")
    cookie = {**headers, "Cookie": f"__Host-magic={page.cookies['__Host-magic']}"}
    body = {**asked, "code": code}
    for sent, status in ((headers, 401), (cookie, 204), (cookie, 401)):
        done = await host.ask("POST", "/v1/identities/email/verify", json=body, headers=sent)
        assert done.status == status
    assert [way["kind"] for way in await ways_of(person)] == ["password", "email"]
