"""Mail of a host: the outbox, and a real SMTP server with TLS, sign-in, refusals and silence."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from tests.support.accounts import Page, post
from tests.support.mails import DOOR, link_in, mails, open_link
from tests.support.running_host import SECRETS, RunningHost, running_host
from tests.support.smtp_server import USER, WRITTEN, Mailroom, mailroom
from worker.entry import host_mail
from worker.entry.host import Listen, warnings
from worker.entry.host_mail import Composer, OutboxMail
from worker.mail.port import Mail, MailFailed
from worker.mail.smtp_server import SmtpServer
from worker.settings import Settings

MAIL = Mail("ada@example.org", "A subject", "A text.\n")


@contextlib.asynccontextmanager
async def host_with(
    tmp_path: Path, room: Mailroom, url: str, monkeypatch: pytest.MonkeyPatch, **more: str
) -> AsyncIterator[RunningHost]:
    """Run a host that trusts the certificate of *room* and sends there without pauses."""
    monkeypatch.setenv("SSL_CERT_FILE", str(room.certificate))
    sender = {"MAIL_FROM": "Ada's place <no-reply@place.example>"}
    variables = {"SMTP_URL": url.format(port=room.port), **sender, **more}
    async with running_host(tmp_path / "state", **variables) as host:

        async def pause(_seconds: float) -> None:
            await asyncio.sleep(0)

        host.env.tools.pause = pause  # type: ignore[method-assign]
        yield host


def failures(host: RunningHost) -> list[tuple[str, int]]:
    """Return reason and tries of the mails that failed."""
    events = [event for event in host.events() if event["event"] == "mail_failed"]
    return [(event["reason"], event["tries"]) for event in events]


async def ask(host: RunningHost) -> None:
    """Ask for a link and wait until all is done."""
    assert (await post(host, DOOR, email="ada@example.org")).status == 202
    await host.env.tools.finish()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("security", "url"),
    [
        ("tls", f"smtps://{WRITTEN}@localhost:{{port}}"),
        ("starttls", f"smtp://{WRITTEN}@localhost:{{port}}?starttls"),
    ],
)
async def test_a_link_goes_over_tls_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str, url: str
) -> None:
    """Signed in there, one recipient, and the link that arrives opens; nothing in the outbox."""
    async with (
        mailroom(tmp_path / "room", security) as room,
        host_with(tmp_path, room, url, monkeypatch) as host,
    ):
        page = Page(host)
        await page.ask("POST", DOOR, json={"email": "ada@example.org"})
        assert await mails(host) == []
        [envelope] = room.taken
        assert room.users == [USER]
        assert envelope.mail_from == "no-reply@place.example"
        assert envelope.rcpt_tos == ["ada@example.org"]
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert mail["From"] == "Ada's place <no-reply@place.example>"
        assert str(mail["Message-ID"]).endswith("@place.example>")
        opened = await open_link(page, link_in(mail.get_content()))  # type: ignore[attr-defined]
        assert opened.status == 200
        assert failures(host) == []


async def test_a_server_in_clear_may_be_on_the_same_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TLS no password is sent: SMTP_URL with one is refused."""
    async with (
        mailroom(tmp_path / "room", "none", sign_in=False) as room,
        host_with(tmp_path, room, "smtp://localhost:{port}", monkeypatch) as host,
    ):
        await ask(host)
        assert len(room.taken) == 1


@pytest.mark.parametrize(
    ("answers", "taken", "failed"),
    [
        (["451 later", "421 closing"], 1, []),
        (["451 later"] * 3, 0, [("smtp 451", 3)]),
        (["550 no such mailbox"], 0, [("smtp 550", 1)]),
        (["554 spam, dear ada@example.org"], 0, [("smtp 554", 1)]),
    ],
)
async def test_a_refusal_is_tried_again_when_it_may_pass(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[str],
    taken: int,
    failed: list[tuple[str, int]],
) -> None:
    """4xx three times, 5xx once; the event has the number and not the words, which name people."""
    async with (
        mailroom(tmp_path / "room", "tls") as room,
        host_with(tmp_path, room, f"smtps://{WRITTEN}@localhost:{{port}}", monkeypatch) as host,
    ):
        room.answers[:] = answers
        await ask(host)
        assert len(room.taken) == taken
        assert failures(host) == failed
        assert "ada" not in "".join(host.log)


async def test_a_recipient_that_is_refused_is_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First with a code that may pass, then for good."""
    async with (
        mailroom(tmp_path / "room", "tls") as room,
        host_with(tmp_path, room, f"smtps://{WRITTEN}@localhost:{{port}}", monkeypatch) as host,
    ):
        room.recipient_answers[:] = ["450 busy <ada@example.org>", "550 unknown"]
        await ask(host)
        assert failures(host) == [("smtp 550", 2)]


async def test_wrong_passwords_and_foreign_certificates_send_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is tried again, and a server that nobody vouches for learns no password."""
    async with mailroom(tmp_path / "room", "tls") as room:
        wrong = "smtps://ada%40mail:wrong@localhost:{port}"
        async with host_with(tmp_path, room, wrong, monkeypatch) as host:
            await ask(host)
            assert failures(host) == [("smtp 535", 1)]
        room.users.clear()
        good = f"smtps://{WRITTEN}@localhost:{{port}}"
        async with host_with(tmp_path / "b", room, good, monkeypatch) as host:
            monkeypatch.delenv("SSL_CERT_FILE")
            await ask(host)
            assert failures(host) == [("SSLCertVerificationError", 1)]
        assert room.users == []
        assert room.taken == []


async def test_a_server_without_starttls_gets_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cuts STARTTLS out of the greeting learns nothing."""
    async with (
        mailroom(tmp_path / "room", "none") as room,
        host_with(
            tmp_path, room, f"smtp://{WRITTEN}@localhost:{{port}}?starttls", monkeypatch
        ) as host,
    ):
        await ask(host)
        assert failures(host) == [("SMTPNotSupportedError", 1)]
        assert room.users == []


async def test_a_server_that_is_silent_or_away_does_not_hold_the_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes at once; the try ends by its timeout, the loop never waits."""
    monkeypatch.setattr(host_mail, "_TIMEOUT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        room = Mailroom(tmp_path, silent.getsockname()[1])
        async with host_with(tmp_path, room, "smtp://127.0.0.1:{port}", monkeypatch) as host:
            assert (await post(host, DOOR, email="ada@example.org")).status == 202
            assert failures(host) == []  # three tries are still to come
            await host.env.tools.finish()  # type: ignore[attr-defined]
            assert failures(host) == [("SMTPServerDisconnected", 3)]
    async with host_with(tmp_path / "b", room, "smtp://127.0.0.1:{port}", monkeypatch) as host:
        await ask(host)
        assert failures(host) == [("ConnectionRefusedError", 3)]


async def test_only_so_many_mails_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest are told to come later, instead of filling the memory."""
    monkeypatch.setattr(host_mail, "_WAITING", 2)
    monkeypatch.setattr(host_mail, "_TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Settings.load(
            {**SECRETS, "SMTP_URL": f"smtp://127.0.0.1:{silent.getsockname()[1]}"}
        )
        port = host_mail.choose(settings, tmp_path, time.time, lambda count: b"x" * count)
        outcomes = await asyncio.gather(
            *(port.send(MAIL) for _ in range(4)), return_exceptions=True
        )
        port.close()
    reasons = sorted(one.reason for one in outcomes if isinstance(one, MailFailed))
    assert reasons == ["SMTPServerDisconnected"] * 2 + ["too many wait"] * 2


async def test_the_outbox_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for one developer, and does not grow for ever."""
    monkeypatch.setattr(host_mail, "_KEPT", 3)
    moments = iter(range(100))

    def now() -> float:
        return float(next(moments))

    compose = Composer(("", "a@b.example"), lambda: 0.0, lambda count: b"x" * count)
    outbox = OutboxMail(tmp_path / "outbox", compose, now, lambda count: b"x" * count)
    for _ in range(5):
        await outbox.send(MAIL)
    kept = sorted(path.name[:15] for path in (tmp_path / "outbox").iterdir())
    assert kept == ["19700101T000002", "19700101T000003", "19700101T000004"]


@pytest.mark.parametrize(
    "mail",
    [
        Mail("ada@example.org\r\nBcc: eve@evil.example", "A subject", "text"),
        Mail("ada@example.org", "A subject\r\nBcc: eve@evil.example", "text"),
        Mail("ada@example.org", "A subject\nX: y", "text"),
        Mail("ada@example.org, eve@evil.example", "A subject", "text"),
    ],
)
def test_the_last_wall_lets_no_header_through(mail: Mail) -> None:
    """Even if an address got so far, no message is made of it."""
    compose = Composer(("Name", "a@b.example"), lambda: 0.0, lambda count: b"x" * count)
    with pytest.raises((ValueError, IndexError)):
        compose(mail)


def test_a_mail_does_not_show_in_a_trace() -> None:
    """Nor does the server's password."""
    assert repr(MAIL) == "Mail()"
    assert WRITTEN[:5] not in repr(SmtpServer.parse(f"smtps://{WRITTEN}@mail.example"))


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("smtps://mail.example", ("mail.example", 465, "tls", "")),
        ("smtp://mail.example?starttls", ("mail.example", 587, "starttls", "")),
        ("smtp://127.0.0.1:2525/", ("127.0.0.1", 2525, "none", "")),
        (f"smtps://{WRITTEN}@[::1]:99", ("::1", 99, "tls", USER)),
    ],
)
def test_a_server_is_one_text(url: str, wanted: tuple[object, ...]) -> None:
    """Scheme, names and ports by custom."""
    server = SmtpServer.parse(url)
    assert (server.host, server.port, server.security, server.user) == wanted


def test_production_without_a_server_is_told_at_the_start() -> None:
    """One line; with a server, or in development, none."""
    keys = {**SECRETS, "ENVIRONMENT": "production"}
    listen = Listen("127.0.0.1", 8788)
    assert "SMTP_URL" in "".join(warnings(Settings.load(keys), listen))
    with_server = {**keys, "SMTP_URL": "smtps://mail.example"}
    assert list(warnings(Settings.load(with_server), listen)) == []
    assert list(warnings(Settings.load(SECRETS), listen)) == []
