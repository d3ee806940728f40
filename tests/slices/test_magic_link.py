"""Magic links: ten minutes, once, in the browser that asked."""

import asyncio
from pathlib import Path

import pytest

from tests.support.accounts import Page, later, post, set_cookies
from tests.support.mails import (
    DOOR,
    account_of,
    ask_for_link,
    mails,
    newest_link,
    open_link,
    signed_in,
    ways_of,
)
from tests.support.problems import assert_problem
from tests.support.running_host import SECRETS, RunningHost, running_host
from worker.accounts import store
from worker.codec import b64url
from worker.identity.email_address import mailbox
from worker.limits import MAILS


async def _count(host: RunningHost, table: str) -> int:
    found = await host.env.db.prepare(f"SELECT count(*) AS n FROM {table}").first("n")
    return int(found)


async def test_a_link_makes_an_account_and_signs_in(host: RunningHost) -> None:
    """Role owner, one way in by e-mail, cookies; the same address later is the same account."""
    page = Page(host)
    path = await ask_for_link(page, " Ada@EXAMPLE.org\t")
    answer = await open_link(page, path)

    assert answer.status == 200
    assert "token" not in answer.json()
    assert set(page.cookies) - {"__Host-magic"} == {
        "__Host-session",
        "__Host-refresh",
        "__Host-csrf",
    }
    told = (await page.ask("GET", "/api/auth/session")).json()
    assert (told["role"], told["username"], told["identities"]) == ("owner", None, ["email"])
    [session] = (await page.ask("GET", "/v1/sessions")).json()["items"]
    assert session["method"] == "email"
    [way] = await ways_of(page)
    assert (way["kind"], way["hint"]) == ("email", None)
    again = await signed_in(host, "ada@example.org")
    assert await account_of(again) == told["account_id"]
    assert await account_of(await signed_in(host, "bob@example.org")) != told["account_id"]


async def test_the_address_itself_is_kept_nowhere(host: RunningHost) -> None:
    """Neither in the database nor in the link; the hash is that of the look-up key."""
    page = Page(host)
    path = await ask_for_link(page, "ada.lovelace@example.org")
    await open_link(page, path)

    rows = (await host.env.db.prepare("SELECT * FROM identities").all()).results
    assert [row["issuer"] for row in rows] == ["e1"]
    assert len(rows[0]["subject"]) == 43
    assert "lovelace" not in path
    state = host.opened.stores.state
    kept = [file for file in state.rglob("*") if file.is_file() and file.parent.name != "outbox"]
    assert kept
    assert [file for file in kept if b"lovelace" in file.read_bytes()] == []


async def test_the_mail_says_what_it_is(host: RunningHost) -> None:
    """Sender, one recipient, no answer wanted; readable by its owner only; no link on stderr."""
    page = Page(host)
    await ask_for_link(page)
    [mail] = await mails(host)

    assert (mail["From"], mail["To"]) == ("Edgekeep <no-reply@localhost>", "ada@example.org")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "once" in mail.get_content()
    [file] = (host.opened.stores.state / "outbox").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


async def test_the_cookie_of_a_link_is_out_of_reach(host: RunningHost) -> None:
    """For this host, over TLS, not for scripts, ten minutes; one for all links of a browser."""
    page = Page(host)
    asked = await page.ask("POST", DOOR, json={"email": "ada@example.org"})
    [field] = set_cookies(asked)
    assert field.startswith("__Host-magic=")
    assert field.endswith("; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax")
    nonce = page.cookies["__Host-magic"]
    # A second mail goes to the same browser: both links hold.
    first = await newest_link(host)
    await ask_for_link(page)
    assert page.cookies["__Host-magic"] == nonce
    assert (await open_link(page, first)).status == 200
    assert (await open_link(page, await newest_link(host))).status == 200


async def test_of_twenty_uses_at_once_one_wins(host: RunningHost) -> None:
    """One account, one session; all the others are told the same."""
    page = Page(host)
    path = await ask_for_link(page)
    copies = [Page(host, dict(page.cookies)) for _ in range(20)]
    answers = await asyncio.gather(*(open_link(copy, path) for copy in copies))

    statuses = sorted(answer.status for answer in answers)
    assert statuses == [200] + [401] * 19
    for answer in answers:
        if answer.status == 401:
            assert_problem(answer, 401, "invalid_link")
            assert set_cookies(answer) == []
    assert await _count(host, "accounts") == await _count(host, "sessions") == 1


async def test_two_links_at_once_make_one_account(host: RunningHost) -> None:
    """Both are good; the first use of an address decides in the database."""
    pages = [Page(host) for _ in range(4)]
    paths = [await ask_for_link(page) for page in pages]
    answers = await asyncio.gather(*(open_link(*pair) for pair in zip(pages, paths, strict=True)))

    assert [answer.status for answer in answers] == [200] * 4
    assert len({await account_of(page) for page in pages}) == 1
    assert await _count(host, "accounts") == await _count(host, "identities") == 1


async def test_whoever_only_looks_does_not_use_it_up(host: RunningHost) -> None:
    """Mail scanners, other browsers, HEAD and fetching ahead; then the person opens it."""
    page, stranger = Page(host), Page(host)
    path = await ask_for_link(page)
    for _ in range(3):
        assert_problem(await open_link(stranger, path), 403, "other_browser")
        shown = await open_link(stranger, path, Accept="text/html,*/*;q=0.8")
        assert (shown.status, shown.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
        assert b"browser" in shown.body
        headers = {"Cookie": page.headers["Cookie"]}
        assert (await host.ask("HEAD", path, headers=headers)).status == 204
        for name, value in (("Sec-Purpose", "prefetch;prerender"), ("Purpose", "prefetch")):
            assert_problem(await open_link(page, path, **{name: value}), 400, "bad_request")
    assert (await open_link(page, path)).status == 200


async def test_a_cookie_of_another_request_is_another_browser(host: RunningHost) -> None:
    """Somebody who lures a victim to their own link finds it closed there."""
    attacker, victim = Page(host), Page(host)
    path = await ask_for_link(attacker, "attacker@example.org")
    await ask_for_link(victim)
    assert_problem(await open_link(victim, path), 403, "other_browser")
    for value in ("", "x" * 43, attacker.cookies["__Host-magic"] + "x"):
        victim.cookies["__Host-magic"] = value
        assert_problem(await open_link(victim, path), 403, "other_browser")


async def test_another_site_cannot_have_a_link_mailed(host: RunningHost) -> None:
    """It would set the cookie in the victim's browser, and the link be the attacker's."""
    for origin in ("https://evil.example", "null"):
        sent = {"email": "attacker@example.org"}
        answer = await host.ask("POST", DOOR, json=sent, headers={"Origin": origin})
        assert_problem(answer, 403, "csrf_failed")
    assert await mails(host) == []


async def test_a_link_holds_ten_minutes(host: RunningHost) -> None:
    """One second before the end it opens; at the end it does not."""
    host.clock.stand()
    page, other = Page(host), Page(host)
    path, late = await ask_for_link(page), await ask_for_link(other, "bob@example.org")
    later(host, 598)
    assert (await open_link(page, path)).status == 200
    later(host, 3)
    assert_problem(await open_link(other, late), 401, "invalid_link")


async def test_an_altered_link_does_not_hold(host: RunningHost) -> None:
    """Any character changed, cut, longer; none; a refresh token; a list's cursor."""
    page = Page(host)
    path = await ask_for_link(page)
    head, _, token = path.partition("token=")
    changed = [
        token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        for at in range(0, len(token), 17)
    ]
    other = await signed_in(host, "bob@example.org")
    for wrong in (*changed, token[:-4], token + "AAAA", "", "A" * 5000, "%00", "é"):
        assert_problem(await open_link(page, f"{head}token={wrong}"), 401, "invalid_link")
    refresh = other.cookies["__Host-refresh"]
    assert_problem(await open_link(page, f"{head}token={refresh}"), 401, "invalid_link")
    assert_problem(await open_link(page, head.rstrip("?")), 401, "invalid_link")
    used = await post(host, "/v1/sessions/refresh", refresh_token=token)
    assert_problem(used, 401, "unauthorized")
    assert (await open_link(page, path)).status == 200


async def test_on_to_where_the_page_wanted(host: RunningHost) -> None:
    """303 to a path of ours, with the cookies; a person's browser without one gets a page."""
    page = Page(host)
    answer = await open_link(page, await ask_for_link(page, next="/app?tab=1&u=a%20b#top"))
    assert (answer.status, answer.headers["Location"]) == (303, "/app?tab=1&u=a%20b#top")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "__Host-session" in page.cookies
    shown = await open_link(page, await ask_for_link(page), Accept="text/html")
    assert (shown.status, shown.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"signed in" in shown.body


@pytest.mark.parametrize(
    "path",
    [
        *("//evil.example", "https://evil.example", "evil.example", "\\\\evil", "/\\evil.example"),
        *("/a//b", "/\t/evil.example", "/ /evil", "/\r\nSet-Cookie: a=b", "/é", "/" + "a" * 512),
        *("javascript:alert(1)", "/\u2028", "/\x00"),
    ],
)
async def test_nowhere_else(host: RunningHost, path: str) -> None:
    """What a browser could take for another site, or for a header, is refused before a mail."""
    answer = await post(host, DOOR, email="ada@example.org", next=path)
    assert_problem(answer, 422, "unprocessable", members={"errors"})
    assert [error["field"] for error in answer.json()["errors"]] == ["next"]
    assert await mails(host) == []


async def test_a_disabled_account_stays_closed(host: RunningHost) -> None:
    """Its owner reads the mail, and is told no more than by other ways in."""
    page = await signed_in(host)
    assert await store.disable(host.env, await account_of(page))
    other = Page(host)
    assert_problem(await open_link(other, await ask_for_link(other)), 401, "unauthorized")
    assert await _count(host, "accounts") == 1


async def test_look_up_keys_can_be_changed(tmp_path: Path) -> None:
    """Old hashes still find, and become new ones at the next sign-in; then the old key may go."""
    old, new = SECRETS["EMAIL_LOOKUP_KEYS"], f"e2:{b64url(b'f' * 32)}"
    state = tmp_path / "state"
    async with running_host(state) as host:
        before = await account_of(await signed_in(host))
        pending = Page(host)
        path = await ask_for_link(pending)
    async with running_host(state, EMAIL_LOOKUP_KEYS=f"{new},{old}") as host:
        # A link of yesterday's ring opens the same account, too.
        assert (await open_link(Page(host, pending.cookies), path)).status == 200
        assert await account_of(await signed_in(host)) == before
        assert await host.env.db.prepare("SELECT issuer FROM identities").first("issuer") == "e2"
        assert await account_of(await signed_in(host)) == before
        stale = Page(host)
        kept = await ask_for_link(stale)
    async with running_host(state, EMAIL_LOOKUP_KEYS=new) as host:
        assert await account_of(await signed_in(host)) == before
        assert await _count(host, "accounts") == 1
    async with running_host(state, EMAIL_LOOKUP_KEYS=f"e3:{b64url(b'g' * 32)}") as host:
        assert_problem(await open_link(Page(host, stale.cookies), kept), 401, "invalid_link")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ada@example.org", "ada+shop@example.org", True),
        ("ada+a+b@example.org", "ada+c@example.org", True),
        ("a.d.a@gmail.com", "ada+x@googlemail.com", True),
        ("a.da@example.org", "ada@example.org", False),
        ("+ada@example.org", "+bob@example.org", False),
        ("ada@example.org", "ada@example.net", False),
    ],
)
def test_spellings_of_one_mailbox_count_together(one: str, other: str, same: bool) -> None:
    """Where most servers deliver to one mailbox; as addresses they stay different."""
    assert (mailbox(one) == mailbox(other)) is same


async def test_nobodys_mailbox_is_flooded(tmp_path: Path) -> None:
    """Three mails in ten minutes, then none, with the same answer; other mailboxes get theirs."""
    async with running_host(
        tmp_path / "state", RATE_LIMITS="on", TRUSTED_PROXIES="127.0.0.1"
    ) as host:
        bodies = set()
        for number in range(6):
            headers = {"X-Forwarded-For": f"198.51.100.{number}"}
            spellings = ("Ada@example.org", "ada@example.org", f"ada+{number}@example.org")
            sent = {"email": spellings[number % 3]}
            answer = await host.ask("POST", DOOR, json=sent, headers=headers)
            bodies.add((answer.status, answer.body))
        assert bodies == {(202, b'{"expires_in":600}')}
        assert len(await mails(host)) == MAILS.burst
        held = [event for event in host.events() if event["event"] == "mail_held_back"]
        assert len(held) == 3
        await host.ask("POST", DOOR, json={"email": "bob@example.org"})
        assert len(await mails(host)) == MAILS.burst + 1
