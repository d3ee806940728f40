"""A real SMTP server (aiosmtpd) in the loop of a test: TLS, sign-in, answers as told."""

import asyncio
import contextlib
import time
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from worker.entry.tls import development

USER, PASSWORD = "ada@mail", "p:ss/w@rd%"
# As they stand in SMTP_URL.
WRITTEN = "ada%40mail:p%3Ass%2Fw%40rd%25"


@dataclass
class Mailroom:
    """What the server took; *answers* are given to the next mails before they are taken."""

    certificate: Path
    port: int = 0
    taken: list[Envelope] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    recipient_answers: list[str] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Accept a recipient, or answer as told."""
        if self.recipient_answers:
            return self.recipient_answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Any, envelope: Envelope
    ) -> str:
        """Take a mail, or answer as told."""
        if self.answers:
            return self.answers.pop(0)
        self.taken.append(envelope)
        return "250 taken"

    def judge(self, _server: Any, _session: Any, _envelope: Any, _kind: str, given: Any) -> Any:
        """Know one user."""
        assert isinstance(given, LoginPassword)
        self.users.append(given.login.decode())
        good = (given.login.decode(), given.password.decode()) == (USER, PASSWORD)
        return AuthResult(success=good, handled=False)


@contextlib.asynccontextmanager
async def mailroom(folder: Path, security: str, *, sign_in: bool = True) -> AsyncIterator[Mailroom]:
    """Run a server on localhost: *security* is tls, starttls or none."""
    context = development(folder, time.time()).context
    room = Mailroom(folder / "tls" / "certificate.pem")
    options: dict[str, Any] = {"enable_SMTPUTF8": False, "hostname": "mail.test"}
    if sign_in:
        options |= {"authenticator": room.judge, "auth_required": True}
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if security != "starttls":
        options["auth_require_tls"] = False
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        with warnings.catch_warnings():
            # Signing in without STARTTLS: the socket is TLS already, or the client is to balk.
            warnings.simplefilter("ignore")
            return SMTP(room, loop=loop, **options)

    server = await loop.create_server(
        session,
        "localhost",
        0,
        ssl=context if security == "tls" else None,
    )
    room.port = server.sockets[0].getsockname()[1]
    try:
        yield room
    finally:
        server.close()
        await server.wait_closed()
