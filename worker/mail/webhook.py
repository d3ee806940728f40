"""
Mail as JSON by POST to a web service of the operator (MAIL_WEBHOOK_URL): the edge's way.

Workers open no connection to port 25, and the standard library has no sockets there: SMTP stays on
hosts. (https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/#considerations)
"""

import json

from worker.fetch import Fetch, FetchFailed, Outgoing
from worker.mail import mailbox
from worker.mail.port import Mail, MailFailed
from worker.settings import Settings


class WebhookMail:
    """Posts {from, to, subject, text}; a 2xx says that the service has taken the mail."""

    __slots__ = ("_address", "_fetch", "_settings")
    is_open = True

    def __init__(self, address: str, settings: Settings, fetch: Fetch) -> None:
        self._address = address
        self._settings = settings
        self._fetch = fetch

    async def send(self, mail: Mail) -> None:
        """Hand *mail* to the service; raises `MailFailed`."""
        # No redirects: they would carry the secret elsewhere. The operator's own address may be
        # on this machine (`Settings` lets http pass there alone).
        request = Outgoing(
            self._address,
            "POST",
            self._headers(),
            self._body(mail),
            max_bytes=None,
            this_machine=True,
        )
        try:
            status = (await self._fetch(request)).status
        except FetchFailed as error:
            raise MailFailed(error.reason, passing=error.passing) from None
        if not 200 <= status < 300:
            raise MailFailed(f"http {status}", passing=status >= 500 or status == 429)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._settings.mail_webhook_secret is not None:
            secret = self._settings.mail_webhook_secret.reveal().decode()
            headers["Authorization"] = f"Bearer {secret}"
        return headers

    def _body(self, mail: Mail) -> bytes:
        members = {
            "from": mailbox.write(self._settings.mail_from),
            "to": mail.to,
            "subject": mail.subject,
            "text": mail.text,
        }
        return json.dumps(members).encode()
