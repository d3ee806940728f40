"""
Every setting of the Worker as one row: name, type, default, help.

Values come from wrangler_compat.toml's [vars], then .dev.vars or the platform's secrets, then (on
the host) the process environment; the entry merges them, `Settings.load` reads the merged mapping
once and freezes. A `Secret` does not print.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal

from worker.codec import unb64url
from worker.limits import BACKUP_DEFAULT_MAX_BYTES, MIB, RELAY_DEFAULT_MAX_BYTES

Kind = Literal["integer", "choice", "list", "origins", "networks", "url", "key", "keyring"]


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
        """Whether the value is key material."""
        return self.kind in ("key", "keyring")


SETTINGS = (
    Setting(
        "ENVIRONMENT",
        "choice",
        "development",
        "What this deployment is. `production` refuses development secrets and local-only doors.",
        ("development", "production"),
    ),
    Setting(
        "PROFILE_STORE",
        "choice",
        "kv",
        "Where profiles live: `kv` (prototype) or `d1` (live). `edgekeep profiles move` copies.",
        ("kv", "d1"),
    ),
    Setting(
        "IMPORT_MAX_BYTES",
        "integer",
        str(512 * MIB),
        "Largest import body in bytes as sent. Cloudflare itself stops at 100 MB on most plans.",
    ),
    Setting(
        "IMPORT_MAX_DECODED_BYTES",
        "integer",
        str(1024 * MIB),
        "Largest import in bytes after gzip is unfolded.",
    ),
    Setting("IMPORT_REPORT_DAYS", "integer", "30", "Days an import report is kept."),
    Setting("IDEMPOTENCY_HOURS", "integer", "24", "Hours an Idempotency-Key remembers its answer."),
    Setting(
        "ACCESS_TOKEN_MINUTES",
        "integer",
        "15",
        "Minutes an access token lives, 60 at most.",
        most=60,
    ),
    Setting("REFRESH_TOKEN_DAYS", "integer", "7", "Days a session lives after its last refresh."),
    # OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 passes and 1 lane is the minimum.
    Setting(
        "ARGON2_MEMORY_KIB",
        "integer",
        "19456",
        "Memory of one password hash on a host, in KiB; 19456 at least.",
        least=19_456,
        most=1_048_576,
    ),
    Setting(
        "ARGON2_PASSES",
        "integer",
        "2",
        "Passes of a password hash over its memory; 2 at least.",
        least=2,
        most=64,
    ),
    Setting("ARGON2_LANES", "integer", "1", "Lanes of a password hash.", most=16),
    Setting(
        "PUBLIC_URL",
        "url",
        "http://127.0.0.1:8788",
        "Where people reach this deployment: goes into links, and its pages may use cookies.",
    ),
    Setting(
        "BACKUP_MAX_BYTES",
        "integer",
        str(BACKUP_DEFAULT_MAX_BYTES),
        "Largest encrypted backup in bytes.",
    ),
    Setting(
        "RELAY_MAX_BYTES",
        "integer",
        str(RELAY_DEFAULT_MAX_BYTES),
        "Largest ciphertext of one message of the relay, in bytes; 512 KiB at most.",
        most=512 * 1024,
    ),
    Setting(
        "CORS_ORIGINS",
        "origins",
        "",
        "Origins, comma-separated, whose pages may call this API from a browser.",
    ),
    Setting(
        "RATE_LIMITS",
        "choice",
        "auto",
        "Whether callers are held to docs/limits.md: `auto` spares callers on the same machine in "
        "development.",
        ("auto", "on", "off"),
    ),
    Setting(
        "TRUSTED_PROXIES",
        "networks",
        "",
        "Addresses or networks, comma-separated, whose X-Forwarded-For a host believes.",
    ),
    Setting(
        "FAULTS",
        "list",
        "",
        "Fault modes of the local stores, comma-separated (docs/faults.md). For development.",
    ),
    Setting(
        "SIGNING_KEYS",
        "keyring",
        None,
        "Keys that sign access tokens: `id:base64url[,id:base64url…]`, 32 bytes each, first signs.",
    ),
    Setting("CURSOR_KEY", "key", None, "32 bytes, base64url: seals paging cursors."),
    Setting("SESSION_KEY", "key", None, "32 bytes, base64url: seals refresh and CSRF tokens."),
    Setting(
        "EMAIL_LOOKUP_KEYS",
        "keyring",
        None,
        "Keys of the e-mail hashes: `id:base64url[,…]`, first hashes, the others still find.",
    ),
    Setting("PSEUDONYM_KEY", "key", None, "32 bytes, base64url: makes the actor_uid of the logs."),
)

Network = IPv4Network | IPv6Network

_LISTED_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]-]+", re.ASCII)
_ORIGIN = re.compile(r"(https?://[a-z0-9.:\[\]-]+)/?", re.ASCII)

# The mark that `scripts/dev` puts in front of keys it makes; production refuses them.
DEVELOPMENT_MARK = "dev-"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings as read at start; attributes are the row names in lower case."""

    environment: str
    profile_store: str
    import_max_bytes: int
    import_max_decoded_bytes: int
    import_report_days: int
    idempotency_hours: int
    access_token_minutes: int
    refresh_token_days: int
    argon2_memory_kib: int
    argon2_passes: int
    argon2_lanes: int
    public_url: str
    backup_max_bytes: int
    relay_max_bytes: int
    cors_origins: tuple[str, ...]
    rate_limits: str
    trusted_proxies: tuple[Network, ...]
    faults: tuple[str, ...]
    signing_keys: Keyring
    cursor_key: Secret
    session_key: Secret
    email_lookup_keys: Keyring
    pseudonym_key: Secret

    @classmethod
    def load(cls, values: Mapping[str, str]) -> "Settings":
        """Read every row from *values*; raises `SettingError` naming the first that will not do."""
        read = {row.name.lower(): _read(row, values.get(row.name, row.default)) for row in SETTINGS}
        settings = cls(**read)
        if settings.environment == "production":
            _refuse_development_keys(values)
        return settings

    @property
    def production(self) -> bool:
        """Whether this is the real thing."""
        return self.environment == "production"


def _read(row: Setting, text: str | None) -> Any:
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


_READERS: dict[str, Any] = {
    "integer": _integer,
    "choice": _choice,
    "list": _list,
    "origins": _origins,
    "networks": _networks,
    "url": _url,
    "key": _key,
    "keyring": _keyring,
}


def _refuse_development_keys(values: Mapping[str, str]) -> None:
    for row in SETTINGS:
        if row.secret and DEVELOPMENT_MARK in values[row.name]:
            raise SettingError(
                f"{row.name} is a development key. Set your own before a production start."
            )
