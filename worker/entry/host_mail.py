"""
Mail of a host: files in the outbox of its state, or an SMTP server (SMTP_URL).

The outbox is for development: `<state>/outbox/*.eml`, readable by their owner only, shown by
`edgekeep mail`. SMTP is spoken by the standard library in two threads; a server that hangs holds
them for seconds and never the loop.
"""

import asyncio
import smtplib
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Protocol

from worker.entry.private_file import write_private
from worker.mail.port import Mail, MailFailed, MailPort, NoMail
from worker.mail.smtp_server import SmtpServer
from worker.settings import Settings

OUTBOX: Final = "outbox"
# An outbox is looked at by one developer; older mails go.
_KEPT: Final = 500
# For a server to connect, and for each of its answers.
_TIMEOUT_SECONDS: Final = 10.0
_THREADS: Final = 2
# Waiting ones hold memory; more than a server takes in minutes are not worth it.
_WAITING: Final = 200

Now = Callable[[], float]
Dice = Callable[[int], bytes]


class HostMail(MailPort, Protocol):
    """A `MailPort` that a host closes."""

    def close(self) -> None:
        """Let go of threads and connections."""


def choose(settings: Settings, state: Path, now: Now, dice: Dice) -> HostMail:
    """Return the way to send mail that *settings* ask for."""
    compose = Composer(settings.mail_from, now, dice)
    if settings.smtp_url is not None:
        return SmtpMail(settings.smtp_url, compose)
    if settings.production:
        return ClosedMail()
    return OutboxMail(state / OUTBOX, compose, now, dice)


class Composer:
    """Turns a `Mail` into an RFC 5322 message."""

    def __init__(self, sender: tuple[str, str], now: Now, dice: Dice) -> None:
        self.sender = sender[1]
        self.domain = sender[1].rpartition("@")[2]
        self._from = Address(sender[0], addr_spec=sender[1])
        self._now = now
        self._dice = dice

    def __call__(self, mail: Mail) -> bytes:
        """Return the message; the library refuses line ends in its fields."""
        message = EmailMessage(policy=SMTP)
        message["From"] = self._from
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(self._now(), UTC))
        message["Message-ID"] = f"<{self._dice(16).hex()}@{self.domain}>"
        # RFC 3834: no machine is to answer this.
        message["Auto-Submitted"] = "auto-generated"
        # Links stay in one piece, also in the file.
        message.set_content(mail.text, cte="7bit" if mail.text.isascii() else "8bit")
        return message.as_bytes()


class ClosedMail(NoMail):
    """A host in production without SMTP_URL."""

    def close(self) -> None:
        """Nothing is open."""


class OutboxMail:
    """Writes each mail into a file."""

    is_open = True

    def __init__(self, folder: Path, compose: Composer, now: Now, dice: Dice) -> None:
        self._folder = folder
        self._compose = compose
        self._now = now
        self._dice = dice

    async def send(self, mail: Mail) -> None:
        """Write *mail* and say its name on stderr, where a developer looks."""
        moment = datetime.fromtimestamp(self._now(), UTC)
        name = f"{moment:%Y%m%dT%H%M%S.%fZ}-{self._dice(4).hex()}.eml"
        try:
            await asyncio.to_thread(self._write, name, self._compose(mail))
        except OSError as error:
            raise MailFailed(type(error).__name__, passing=True) from None
        sys.stderr.write(f"mail: {OUTBOX}/{name}  (edgekeep mail show)\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Nothing is open."""

    def _write(self, name: str, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._folder / name, data)
        for old in sorted(self._folder.glob("*.eml"))[:-_KEPT]:
            old.unlink(missing_ok=True)


class SmtpMail:
    """Speaks SMTP to one server, a connection for each mail."""

    is_open = True

    def __init__(self, server: SmtpServer, compose: Composer) -> None:
        self._server = server
        self._compose = compose
        self._pool = ThreadPoolExecutor(_THREADS, "mail")
        self._waiting = 0
        self._trust: ssl.SSLContext | None = None

    async def send(self, mail: Mail) -> None:
        """Hand *mail* to the server; raises `MailFailed`."""
        if self._waiting >= _WAITING:
            raise MailFailed("too many wait", passing=True)
        data = self._compose(mail)
        self._waiting += 1
        future = asyncio.wrap_future(self._pool.submit(self._hand_over, mail.to, data))
        future.add_done_callback(self._done)
        await future

    def close(self) -> None:
        """End the threads; mails that wait are given up."""
        self._pool.shutdown(cancel_futures=True)

    def _done(self, _future: "asyncio.Future[None]") -> None:
        self._waiting -= 1

    def _hand_over(self, to: str, data: bytes) -> None:
        try:
            with self._connect() as connection:
                connection.sendmail(self._compose.sender, [to], data)
        except smtplib.SMTPRecipientsRefused as error:
            [(code, _)] = error.recipients.values()
            raise MailFailed(f"smtp {code}", passing=code < 500) from None
        except smtplib.SMTPResponseException as error:
            passing = 400 <= error.smtp_code < 500
            raise MailFailed(f"smtp {error.smtp_code}", passing=passing) from None
        except (ssl.SSLCertVerificationError, smtplib.SMTPNotSupportedError) as error:
            raise MailFailed(type(error).__name__, passing=False) from None
        except (OSError, smtplib.SMTPException) as error:
            raise MailFailed(type(error).__name__, passing=True) from None

    def _connect(self) -> smtplib.SMTP:
        server, name = self._server, self._compose.domain
        if self._trust is None:
            # Reads the certificates of the system, or of SSL_CERT_FILE.
            self._trust = ssl.create_default_context()
        if server.security == "tls":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, name, timeout=_TIMEOUT_SECONDS, context=self._trust
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, name, timeout=_TIMEOUT_SECONDS)
        try:
            if server.security == "starttls":
                connection.starttls(context=self._trust)
            if server.user:
                connection.login(server.user, server.password)
        except BaseException:
            connection.close()
            raise
        return connection
