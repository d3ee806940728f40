"""
Kinds of settings: how each is written in text, and what it is once read.

Each kind is a function that declares a field of `worker.settings.Settings`. A value never shows in
an error's text: it may be a key that was put in the wrong place.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, TypeVar, cast

from worker.codec import unb64url
from worker.mail import mailbox as mailboxes
from worker.mail.smtp_server import SmtpServer

Network = IPv4Network | IPv6Network
T = TypeVar("T")

# The mark that `scripts/dev` puts in front of keys it makes; production refuses them.
DEVELOPMENT_MARK = "dev-"


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
    """A setting as it is declared; secrets have no *default*. *parse* raises ValueError."""

    name: str
    kind: str
    default: str | None
    help: str
    parse: Callable[[str], Any]

    @classmethod
    def of(cls, declared: Field[Any]) -> "Setting":
        """Return what *declared* says, a field of `Settings`."""
        return cls(declared.name.upper(), **declared.metadata)

    @property
    def secret(self) -> bool:
        """Whether the value is key material, which every deployment needs."""
        return self.kind in ("key", "keyring")

    @property
    def hidden(self) -> bool:
        """Whether the value is shown nowhere: key material, passwords, addresses with either."""
        return self.secret or self.kind in ("private", "smtp", "webhook")

    def read(self, text: str | None) -> Any:
        """Return the value that *text* writes; raises `SettingError` with the name and remedy."""
        if text is None:
            raise SettingError(f"{self.name} is missing. {self.help}")
        try:
            return self.parse(text)
        except ValueError as error:
            # The value itself stays out of the text: it may be a key.
            raise SettingError(f"{self.name} cannot be used: {error}. {self.help}") from None


def _declare(kind: str, default: str | None, help: str, parse: Callable[[str], T]) -> T:
    """Declare a field; to the type checker it is the value that will be read."""
    told = {"kind": kind, "default": default, "help": help, "parse": parse}
    return cast(T, field(metadata=told))


def choice(default: str, *others: str, help: str) -> str:
    """One of a few words."""
    choices = (default, *others)

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return _declare("choice", default, help, parse)


def integer(default: int, help: str, *, least: int = 1, most: int = 2**53 - 1) -> int:
    """A whole number from *least* to *most*."""

    def parse(text: str) -> int:
        if not text.isdecimal() or len(text) > 16 or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return _declare("integer", str(default), help, parse)


def words(help: str) -> tuple[str, ...]:
    """A list, comma-separated."""
    return _declare("list", "", help, _list)


def origins(help: str) -> tuple[str, ...]:
    """Origins of web pages, comma-separated."""
    return _declare("origins", "", help, _origins)


def networks(help: str) -> tuple[Network, ...]:
    """Addresses and networks, comma-separated."""
    return _declare("networks", "", help, _networks)


def url(default: str, help: str) -> str:
    """The address of a web server, without a path."""
    return _declare("url", default, help, _url)


def mailbox(default: str, help: str) -> tuple[str, str]:
    """A name for people, or "", with a mail address."""
    return _declare("mailbox", default, help, mailboxes.read)


def smtp(help: str) -> SmtpServer | None:
    """A mail server, or none."""
    return _declare("smtp", "", help, _smtp)


def webhook(help: str) -> Secret | None:
    """An address to post to, which may hold a password, or none."""
    return _declare("webhook", "", help, _webhook)


def private(help: str) -> Secret | None:
    """A text that is shown nowhere, or none."""
    return _declare("private", "", help, _private)


def key(help: str) -> Secret:
    """A key of 32 bytes."""
    return _declare("key", None, help, _key)


def keyring(help: str) -> Keyring:
    """Keys of 32 bytes by their ids, the current one first."""
    return _declare("keyring", None, help, _keyring)


_LISTED_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]-]+", re.ASCII)
_ORIGIN = re.compile(r"(https?://[a-z0-9.:\[\]-]+)/?", re.ASCII)
_WEBHOOK = re.compile(
    r"(https://|http://(127\.0\.0\.1|localhost|\[::1\])(:|/))[\x21-\x7e]{1,2000}", re.ASCII
)


def _key(text: str) -> Secret:
    try:
        key = unb64url(text.removeprefix(DEVELOPMENT_MARK))
    except ValueError:
        raise ValueError("expected base64url") from None
    if len(key) != 32:
        raise ValueError("expected 32 bytes")
    return Secret(key)


def _keyring(text: str) -> Keyring:
    keys: dict[str, Secret] = {}
    for entry in text.split(","):
        key_id, colon, key = entry.strip().partition(":")
        if not colon or not key_id:
            raise ValueError("expected id:base64url")
        if key_id in keys:
            raise ValueError("a key id stands twice")
        keys[key_id] = _key(key)
    return Keyring(next(iter(keys)), keys)


def _url(text: str) -> str:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("expected http://host or https://host, without a path")
    return found[1]


def _list(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        # A list of wrangler's [vars] arrives as JSON.
        parts = json.loads(text)
        if not all(isinstance(part, str) for part in parts):
            raise ValueError("expected a list of texts")
        return tuple(parts)
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _origins(text: str) -> tuple[str, ...]:
    """`null` is every sandboxed page there is, and `*` every page: neither is an origin."""
    listed = _list(text)
    if not all(_LISTED_ORIGIN.fullmatch(origin) for origin in listed):
        raise ValueError("expected scheme://host[:port] in lower case, without a path")
    return listed


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part) for part in _list(text))
    except ValueError:
        raise ValueError("expected addresses or networks like 10.0.0.0/8 or fd00::/8") from None


def _private(text: str) -> Secret | None:
    if not text.isascii() or not text.isprintable():
        raise ValueError("expected one line of ASCII")
    return Secret(text.encode()) if text else None


def _smtp(text: str) -> SmtpServer | None:
    return SmtpServer.parse(text) if text else None


def _webhook(text: str) -> Secret | None:
    if text and not _WEBHOOK.fullmatch(text):
        raise ValueError("expected https://host/path (http:// on this machine only)")
    return Secret(text.encode()) if text else None
