"""
The address of a mail server as one text: `smtps://user:password@host[:465]`.

`smtp://…?starttls` begins in clear and insists on TLS; `smtp://host` without it stays in clear and
takes no password. Names and passwords are percent-encoded where they hold `:`, `@`, `/` or `%`.
"""

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

_FORM: Final = "expected smtps://user:password@host:465 or smtp://user:password@host:587?starttls"
_PORTS: Final = {"tls": 465, "starttls": 587, "none": 25}
Security = Literal["tls", "starttls", "none"]


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server and how we are known there (both "" for not at all)."""

    host: str
    port: int
    security: Security
    user: str = field(repr=False, default="")
    password: str = field(repr=False, default="")

    @classmethod
    def parse(cls, text: str) -> "SmtpServer":
        """Read an address; raises ValueError, whose text quotes nothing of it."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(_FORM) from None
        security = _security(parts.scheme, parts.query)
        if not parts.hostname or parts.path not in ("", "/") or parts.fragment or port == 0:
            raise ValueError(_FORM)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(user) != bool(password):
            raise ValueError("expected a user with a password, or neither")
        if user and security == "none":
            raise ValueError("a password may not cross the network in clear: add ?starttls")
        return cls(parts.hostname, port or _PORTS[security], security, user, password)


def _security(scheme: str, query: str) -> Security:
    if scheme == "smtps" and not query:
        return "tls"
    if scheme == "smtp" and query in ("", "starttls"):
        return "starttls" if query else "none"
    raise ValueError(_FORM)
