"""
The mail port (`env.tools.mail`): plain text to one address, by whatever way a platform has.

A host writes files into its outbox (development) or speaks SMTP; the edge, which has no SMTP, asks
a web service of the operator.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """
    A mail. *to* is a normalised address (`worker.identity.email_address`), *subject* one line of
    ASCII.

    None of it shows in a repr: it names a person and may hold a link that opens an account.
    """

    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)


class MailFailed(Exception):  # noqa: N818 - says what happened
    """
    A mail was not sent. *reason* is a word or two for the log and names nobody.

    *passing*: the same mail may go through later.
    """

    def __init__(self, reason: str, *, passing: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing


class MailPort(Protocol):
    """A platform's way to send mail."""

    @property
    def is_open(self) -> bool:
        """Whether there is a way at all."""

    async def send(self, mail: Mail) -> None:
        """Hand *mail* on, once; raises `MailFailed`."""


class NoMail:
    """A `MailPort` of a deployment that has no way to send."""

    is_open = False

    async def send(self, mail: Mail) -> None:
        """See `MailPort.send`."""
        raise MailFailed("no way to send", passing=False)
