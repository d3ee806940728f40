"""
Every setting of the Worker as one row: name, type, default, help.

Values come from wrangler_compat.toml's [vars], then .dev.vars or the platform's secrets, then (on
the host) the process environment; the entry merges them, `Settings.load` reads the merged mapping
once and freezes. A `Secret` does not print.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.limits import (
    BACKUP_DEFAULT_MAX_BYTES,
    MIB,
    PREKEYS_DEFAULT_HELD,
    RELAY_DEFAULT_MAX_BYTES,
)
from worker.mail.smtp_server import SmtpServer
from worker.setting_kinds import (
    DEVELOPMENT_MARK,
    Keyring,
    Network,
    Secret,
    Setting,
    SettingError,
    read,
)

__all__ = [
    "DEVELOPMENT_MARK",
    "SETTINGS",
    "Keyring",
    "Network",
    "Secret",
    "Setting",
    "SettingError",
    "Settings",
]

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
        "MAIL_FROM",
        "mailbox",
        "Edgekeep <no-reply@localhost>",
        "Who mail of this deployment is from: `Name <name@example.org>`.",
    ),
    Setting(
        "SMTP_URL",
        "smtp",
        "",
        "The mail server of a host: `smtps://user:password@host:465` or "
        "`smtp://user:password@host:587?starttls`. Without it a host in development keeps mail in "
        "its outbox, one in production sends none.",
    ),
    Setting(
        "MAIL_WEBHOOK_URL",
        "webhook",
        "",
        "At the edge: where mail is handed to, as JSON by POST (docs/edge.md).",
    ),
    Setting(
        "MAIL_WEBHOOK_SECRET", "private", "", "The bearer that MAIL_WEBHOOK_URL asks us to show."
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
        "PREKEYS_HELD",
        "integer",
        str(PREKEYS_DEFAULT_HELD),
        "One-time prekeys of a kind that the relay holds for one account; 1000 at most.",
        most=1000,
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
    mail_from: tuple[str, str]
    smtp_url: SmtpServer | None
    mail_webhook_url: Secret | None
    mail_webhook_secret: Secret | None
    backup_max_bytes: int
    relay_max_bytes: int
    prekeys_held: int
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
        found = {row.name.lower(): read(row, values.get(row.name, row.default)) for row in SETTINGS}
        settings = cls(**found)
        if settings.environment == "production":
            _refuse_development_keys(values)
        return settings

    @property
    def production(self) -> bool:
        """Whether this is the real thing."""
        return self.environment == "production"


def _refuse_development_keys(values: Mapping[str, str]) -> None:
    for row in SETTINGS:
        if row.secret and DEVELOPMENT_MARK in values[row.name]:
            raise SettingError(
                f"{row.name} is a development key. Set your own before a production start."
            )
