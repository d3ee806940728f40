"""
Kinds of settings: how each is written in text, and what it is once read.

A value never shows in an error's text: it may be a key that was put in the wrong place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal

from worker.codec import unb64url
from worker.mail.smtp_server import SmtpServer

Network = IPv4Network | IPv6Network
Kind = Literal[
    "integer",
    "choice",
    "list",
    "origins",
    "networks",
    "url",
    "key",
    "keyring",
    "private",
    "mailbox",
    "smtp",
    "webhook",
]


class SettingError(ValueError):
    """A setting is missing or has a value that cannot be used; the text names it and the remedy."""


class Secret:
    """Key material that does not show in a log, a trace or a repr."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes, for the one place that uses them."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('**********')"


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by id; new signatures use `current`, old ones still verify with the others."""

    current: str
    keys: Mapping[str, Secret]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: *choices* of a choice, *least* and *most* of an integer; secrets have no default."""

    name: str
    kind: Kind
    default: str | None
    help: str
    choices: tuple[str, ...] = ()
    least: int = 1
    most: int = 2**53 - 1

    @property
    def secret(self) -> bool:
        """Whether the value is key material, which every deployment needs."""
        return self.kind in ("key", "keyring")

    @property
    def hidden(self) -> bool:
        """Whether the value is shown nowhere: key material, passwords, addresses with either."""
        return self.secret or self.kind in ("private", "smtp", "webhook")


_LISTED_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]-]+", re.ASCII)
_ORIGIN = re.compile(r"(https?://[a-z0-9.:\[\]-]+)/?", re.ASCII)
_ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}"
_MAILBOX = re.compile(rf"(?:([A-Za-z0-9 .'_-]{{1,60}})<({_ADDRESS})>|({_ADDRESS}))", re.ASCII)
_WEBHOOK = re.compile(
    r"(https://|http://(127\.0\.0\.1|localhost|\[::1\])(:|/))[\x21-\x7e]{1,2000}", re.ASCII
)

# The mark that `scripts/dev` puts in front of keys it makes; production refuses them.
DEVELOPMENT_MARK = "dev-"


def read(row: Setting, text: str | None) -> Any:
    """Return the value that *text* writes; raises `SettingError` naming the row and the remedy."""
    if text is None:
        raise SettingError(f"{row.name} is missing. {row.help}")
    try:
        return _READERS[row.kind](row, text)
    except ValueError as error:
        # The value itself stays out of the text: it may be a key.
        raise SettingError(f"{row.name} cannot be used: {error}. {row.help}") from None


def _choice(row: Setting, text: str) -> str:
    if text not in row.choices:
        raise ValueError(f"expected one of {', '.join(row.choices)}")
    return text


def _integer(row: Setting, text: str) -> int:
    if not text.isdecimal() or len(text) > 16 or not row.least <= int(text) <= row.most:
        raise ValueError(f"expected a whole number from {row.least} to {row.most}")
    return int(text)


def _key(_row: Setting, text: str) -> Secret:
    try:
        key = unb64url(text.removeprefix(DEVELOPMENT_MARK))
    except ValueError:
        raise ValueError("expected base64url") from None
    if len(key) != 32:
        raise ValueError("expected 32 bytes")
    return Secret(key)


def _keyring(row: Setting, text: str) -> Keyring:
    keys: dict[str, Secret] = {}
    for entry in text.split(","):
        key_id, colon, key = entry.strip().partition(":")
        if not colon or not key_id:
            raise ValueError("expected id:base64url")
        if key_id in keys:
            raise ValueError("a key id stands twice")
        keys[key_id] = _key(row, key)
    return Keyring(next(iter(keys)), keys)


def _url(_row: Setting, text: str) -> str:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("expected http://host or https://host, without a path")
    return found[1]


def _list(_row: Setting, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _origins(row: Setting, text: str) -> tuple[str, ...]:
    """`null` is every sandboxed page there is, and `*` every page: neither is an origin."""
    listed = _list(row, text)
    if not all(_LISTED_ORIGIN.fullmatch(origin) for origin in listed):
        raise ValueError("expected scheme://host[:port] in lower case, without a path")
    return listed


def _networks(row: Setting, text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part) for part in _list(row, text))
    except ValueError:
        raise ValueError("expected addresses or networks like 10.0.0.0/8 or fd00::/8") from None


def _private(_row: Setting, text: str) -> Secret | None:
    if not text.isascii() or not text.isprintable():
        raise ValueError("expected one line of ASCII")
    return Secret(text.encode()) if text else None


def _mailbox(_row: Setting, text: str) -> tuple[str, str]:
    """Return (name for people or "", address)."""
    found = _MAILBOX.fullmatch(text)
    if found is None:
        raise ValueError("expected name@example.org or Name <name@example.org>")
    return (found[1] or "").strip(), found[2] or found[3]


def _smtp(_row: Setting, text: str) -> SmtpServer | None:
    return SmtpServer.parse(text) if text else None


def _webhook(_row: Setting, text: str) -> Secret | None:
    if text and not _WEBHOOK.fullmatch(text):
        raise ValueError("expected https://host/path (http:// on this machine only)")
    return Secret(text.encode()) if text else None


_READERS: dict[str, Any] = {
    "integer": _integer,
    "choice": _choice,
    "list": _list,
    "origins": _origins,
    "networks": _networks,
    "url": _url,
    "key": _key,
    "keyring": _keyring,
    "private": _private,
    "mailbox": _mailbox,
    "smtp": _smtp,
    "webhook": _webhook,
}
