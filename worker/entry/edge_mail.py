"""
Mail of the edge: JSON by POST to a web service of the operator (MAIL_WEBHOOK_URL).

Workers open no connection to port 25, and the standard library has no sockets there: SMTP stays on
hosts. (https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/#considerations)
"""

import json

from worker import interop
from worker.interop import JsError
from worker.mail.port import Mail, MailFailed, MailPort, NoMail
from worker.settings import Settings

_TIMEOUT_MS = 10_000


def choose(settings: Settings) -> MailPort:
    """Return the way to send mail that *settings* ask for."""
    return NoMail() if settings.mail_webhook_url is None else WebhookMail(settings)


class WebhookMail:
    """Posts {from, to, subject, text}; a 2xx says that the service has taken the mail."""

    __slots__ = ("_settings",)
    is_open = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> None:
        """Hand *mail* to the service; raises `MailFailed`."""
        address = self._settings.mail_webhook_url
        if address is None:
            raise MailFailed("no way to send", passing=False)
        try:
            answer = await interop.call(
                interop.js_global("globalThis"),
                "fetch",
                address.reveal().decode(),
                self._with(mail),
            )
            status = int(answer.status)
            if not interop.is_none(answer.body):
                await interop.call(answer.body, "cancel")
        except JsError as error:
            raise MailFailed(error.name, passing=True) from None
        if not 200 <= status < 300:
            raise MailFailed(f"http {status}", passing=status >= 500 or status == 429)

    def _with(self, mail: Mail) -> object:
        name, sender = self._settings.mail_from
        members = {
            "from": f"{name} <{sender}>" if name else sender,
            "to": mail.to,
            "subject": mail.subject,
            "text": mail.text,
        }
        headers = {"Content-Type": "application/json"}
        if self._settings.mail_webhook_secret is not None:
            secret = self._settings.mail_webhook_secret.reveal().decode()
            headers["Authorization"] = f"Bearer {secret}"
        return interop.plain_object(
            method="POST",
            headers=interop.plain_object(**headers),
            body=json.dumps(members),
            # A redirect would carry the secret elsewhere.
            redirect="manual",
            signal=interop.js_global("AbortSignal").timeout(_TIMEOUT_MS),
        )
