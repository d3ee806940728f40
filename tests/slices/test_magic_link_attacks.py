"""Magic links under attack: who has an account is not told; no header is written by a stranger."""

import asyncio
import json
import statistics
import time
from pathlib import Path

import pytest

from tests.support.accounts import Page, post, sign_up
from tests.support.mails import DOOR, account_of, ask_for_link, mails, open_link, signed_in
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost, running_host
from worker.accounts import store

_INJECTIONS = (
    "ada@example.org\r\nBcc: eve@evil.example",
    "ada@example.org\nSubject: hello",
    "ada@example.org\r\n\r\nbody",
    "ada@example.org%0d%0aBcc:eve@evil.example\n",
    "ada@example.org, eve@evil.example",
    "ada@example.org;eve@evil.example",
    "ada@example.org eve@evil.example",
    "Ada <ada@example.org>",
    '"a\r\nBcc: eve@evil.example"@example.org',
    '"ada lovelace"@example.org',
    "ada@example.org\x00",
    "ada@example.org\u2028Bcc: eve@evil.example",
    "=?utf-8?q?ada=40example.org=0D=0ABcc=3A_eve=40evil.example?=",
    "ada(comment)@example.org",
    "ada@[127.0.0.1]",
    "-oQ/tmp/x@localhost",
    "ada\u037eeve@example.org",
    "ada@example.org\ud800",
)


@pytest.mark.parametrize("typed", _INJECTIONS, ids=range(len(_INJECTIONS)))
async def test_no_address_writes_a_header(host: RunningHost, typed: str) -> None:
    """Line ends, lists, names, comments, encoded words: refused by name, unquoted, no mail."""
    data = json.dumps({"email": typed}).encode()
    answer = await host.ask("POST", DOOR, data=data, headers={"Content-Type": "application/json"})

    document = assert_problem(answer, 422, "unprocessable", members={"errors"})
    assert [error["field"] for error in document["errors"]] == ["email"]
    assert b"evil" not in answer.body
    assert await mails(host) == []


async def test_every_address_gets_the_same_answer(host: RunningHost) -> None:
    """Known, unknown, disabled, linked beside a password: status, body, headers."""
    await signed_in(host, "known@example.org")
    closed = await signed_in(host, "closed@example.org")
    await store.disable(host.env, await account_of(closed))
    before = len(await mails(host))
    seen = set()
    for name in ("known", "unknown", "closed", "KNOWN", "x" * 60):
        answer = await post(host, DOOR, email=f"{name}@example.org")
        kept = {
            field: value.partition("=")[0]
            for field, value in answer.headers.items()
            if field not in ("X-Request-Id", "X-Request-ID", "Date")
        }
        seen.add((answer.status, answer.body, tuple(kept.items())))
    assert len(seen) == 1, seen
    # And each of them gets a mail.
    assert len(await mails(host)) == before + 5


_ROUNDS = 25
_TRIES = 5


async def _medians(host: RunningHost, names: tuple[str, ...]) -> dict[str, float]:
    """
    Return milliseconds of processor time by address; they take turns, so that noise falls on all
    alike.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(_ROUNDS):
        for name in names:
            began = time.process_time()
            answer = await post(host, DOOR, email=f"{name}@example.org")
            found[name].append((time.process_time() - began) * 1000)
            assert answer.status == 202
            await host.env.tools.finish()  # type: ignore[attr-defined]
    return {name: statistics.median(times) for name, times in found.items()}


async def test_every_address_takes_the_same_time(host: RunningHost) -> None:
    """Medians within a fourth of each other; a look-up in the database would be another half."""
    await signed_in(host, "known@example.org")
    closed = await signed_in(host, "shuts@example.org")
    await store.disable(host.env, await account_of(closed))
    names = ("known", "guess", "shuts")
    table = {}
    # Neighbours take a cache away and bend one measurement, hardly five.
    for _ in range(_TRIES):
        table = await _medians(host, names)
        if all(0.8 <= median / table["known"] <= 1.25 for median in table.values()):
            break
    for name, median in table.items():
        print(f"{name:8} {median:6.2f} ms  {median / table['known']:.2f}")
    assert all(0.8 <= median / table["known"] <= 1.25 for median in table.values()), table


async def test_neither_address_nor_link_is_logged(
    host: RunningHost, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Not by the request log, not on stderr, not in a refusal: asked, opened, refused, linked."""
    page = Page(host)
    path = await ask_for_link(page, "canary.person@canary.example", next="/canary")
    token = path.partition("token=")[2]
    refused = [await open_link(Page(host), path), await open_link(page, path + "x")]
    await open_link(page, path)
    refused.append(await open_link(page, path))
    await post(host, DOOR, email="canary person@canary.example")
    person = await sign_up(host)
    await person.ask("POST", "/v1/identities/email", json={"email": "canary@canary.example"})
    await mails(host)

    told = capfd.readouterr()
    host.env.log.flush()
    text = "".join(host.log) + told.out + told.err + caplog.text
    assert "mail: outbox/" in told.err
    assert "canary" not in text.lower()
    assert token[:40] not in text
    for answer in refused:
        assert answer.status >= 400
        assert token[:40] not in str(dict(answer.headers)) + answer.body.decode()


async def test_mail_that_cannot_be_sent_is_told_and_says_nothing(tmp_path: Path) -> None:
    """Production without a mail server: 503 at both doors, before anything is looked at."""
    async with running_host(tmp_path / "state", ENVIRONMENT="production") as host:
        for body in ({"email": "ada@example.org"}, {"email": "no address"}, {}):
            answer = await host.ask("POST", DOOR, json=body)
            assert_problem(answer, 503, "mail_unavailable")
        person = await sign_up(host)
        asked = await person.ask("POST", "/v1/identities/email", json={"email": "ada@example.org"})
        assert_problem(asked, 503, "mail_unavailable")
        assert not (tmp_path / "state" / "outbox").exists()


async def test_an_outbox_that_cannot_be_written_is_an_event(
    host: RunningHost, capfd: pytest.CaptureFixture[str]
) -> None:
    """Tried three times; the event names the kind of error, the answer was the same."""
    (host.opened.stores.state / "outbox").write_text("a file is in the way")
    waits = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    host.env.tools.pause = pause  # type: ignore[method-assign]
    answer = await post(host, DOOR, email="ada@example.org")
    assert answer.status == 202
    await host.env.tools.finish()  # type: ignore[attr-defined]
    [event] = [event for event in host.events() if event["event"] == "mail_failed"]
    assert (event["reason"], event["tries"], event["level"]) == ("FileExistsError", 3, "error")
    assert waits == [1, 4]
    assert "ada" not in "".join(host.log) + capfd.readouterr().err
