"""
Every setting of the Worker, declared once: name, type, default, help.

Values come from wrangler_compat.toml's [vars], then .dev.vars or the platform's secrets, then (on
the host) the process environment; the entry merges them, `Settings.load` reads the merged mapping
once and freezes. The variable of a setting is its name in capitals. A `Secret` does not print.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from worker.limits import KIB, MIB
from worker.mail.smtp_server import SmtpServer
from worker.setting_kinds import (
    DEVELOPMENT_MARK,
    Keyring,
    Network,
    Secret,
    Setting,
    SettingError,
    choice,
    integer,
    key,
    keyring,
    mailbox,
    networks,
    origins,
    private,
    smtp,
    url,
    webhook,
    words,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings as read at start."""

    environment: str = choice(
        "development",
        "production",
        help="What this deployment is. `production` refuses development secrets and local-only "
        "doors.",
    )
    profile_store: str = choice(
        "kv",
        "d1",
        help="Where profiles live: `kv` (prototype) or `d1` (live). `edgekeep profiles move` "
        "copies.",
    )
    import_max_bytes: int = integer(
        512 * MIB,
        "Largest import body in bytes as sent. Cloudflare itself stops at 100 MB on most plans.",
    )
    import_max_decoded_bytes: int = integer(
        1024 * MIB, "Largest import in bytes after gzip is unfolded."
    )
    import_report_days: int = integer(30, "Days an import report is kept.")
    idempotency_hours: int = integer(24, "Hours an Idempotency-Key remembers its answer.")
    access_token_minutes: int = integer(15, "Minutes an access token lives, 60 at most.", most=60)
    refresh_token_days: int = integer(7, "Days a session lives after its last refresh.")
    refresh_grace_seconds: int = integer(
        20,
        "Seconds in which a refresh token that was just spent gives the same successor again, for "
        "lost answers and second tabs; 0 for never, 30 at most.",
        least=0,
        most=30,
    )
    # OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 passes and 1 lane is the minimum.
    argon2_memory_kib: int = integer(
        19_456,
        "Memory of one password hash on a host, in KiB; 19456 at least.",
        least=19_456,
        most=1_048_576,
    )
    argon2_passes: int = integer(
        2, "Passes of a password hash over its memory; 2 at least.", least=2, most=64
    )
    argon2_lanes: int = integer(1, "Lanes of a password hash.", most=16)
    public_url: str = url(
        "http://127.0.0.1:8788",
        "Where people reach this deployment: goes into links, and its pages may use cookies.",
    )
    mail_from: tuple[str, str] = mailbox(
        "Edgekeep <no-reply@localhost>",
        "Who mail of this deployment is from: `Name <name@example.org>` (RFC 5322).",
    )
    smtp_url: SmtpServer | None = smtp(
        "The mail server of a host: `smtps://user:password@host:465` or "
        "`smtp://user:password@host:587?starttls`. Without it a host in development keeps mail in "
        "its outbox, one in production sends none."
    )
    mail_webhook_url: Secret | None = webhook(
        "At the edge: where mail is handed to, as JSON by POST (docs/edge.md)."
    )
    mail_webhook_secret: Secret | None = private(
        "The bearer that MAIL_WEBHOOK_URL asks us to show."
    )
    backup_max_bytes: int = integer(2 * MIB, "Largest encrypted backup in bytes.")
    attachments_max_bytes: int = integer(
        256 * MIB, "Bytes of all attachments that one account may hold."
    )
    attachments_max_items: int = integer(1000, "Attachments that one account may hold.")
    free_space_floor_bytes: int = integer(
        256 * MIB,
        "Bytes of the disk that a host leaves free: below, doors that store answer 507.",
        least=0,
    )
    relay_max_bytes: int = integer(
        64 * KIB,
        "Largest ciphertext of one message of the relay, in bytes; 512 KiB at most.",
        most=512 * KIB,
    )
    prekeys_held: int = integer(
        100,
        "One-time prekeys of a kind that the relay holds for one account; 1000 at most.",
        most=1000,
    )
    head_seconds: int = integer(
        20, "Seconds in which a new connection to a host must have sent the head of a request."
    )
    idle_seconds: int = integer(
        75, "Seconds in which the next head must be there; then a host closes the connection."
    )
    body_seconds: int = integer(
        60, "Seconds for which a body may stand still, on its way to a host or from it."
    )
    connections_per_address: int = integer(
        256,
        "Connections of one address to a host; who has waited longest for a head makes room. Not "
        "for TRUSTED_PROXIES, nor for whom RATE_LIMITS spares.",
    )
    cors_origins: tuple[str, ...] = origins(
        "Origins, comma-separated, whose pages may call this API from a browser."
    )
    allowed_hosts: tuple[str, ...] = words(
        "Names, comma-separated, that a host in development answers to beside this machine's and "
        "PUBLIC_URL's, such as a tunnel's."
    )
    rate_limits: str = choice(
        "auto",
        "on",
        "off",
        help="Whether callers are held to docs/limits.md: `auto` spares callers on the same "
        "machine in development.",
    )
    trusted_proxies: tuple[Network, ...] = networks(
        "Addresses or networks, comma-separated, whose X-Forwarded-For a host believes."
    )
    faults: tuple[str, ...] = words(
        "Fault modes of the local stores, comma-separated (docs/faults.md). For development."
    )
    signing_keys: Keyring = keyring(
        "Keys that sign access tokens: `id:base64url[,id:base64url…]`, 32 bytes each, first signs."
    )
    cursor_key: Secret = key("32 bytes, base64url: seals paging cursors.")
    session_key: Secret = key("32 bytes, base64url: seals refresh and CSRF tokens.")
    email_lookup_keys: Keyring = keyring(
        "Keys of the e-mail hashes: `id:base64url[,…]`, first hashes, the others still find."
    )
    pseudonym_key: Secret = key("32 bytes, base64url: makes the actor_uid of the logs.")

    @classmethod
    def load(cls, values: Mapping[str, str]) -> "Settings":
        """Read all from *values*; raises `SettingError` naming the first that will not do."""
        found = {row.name.lower(): row.read(values.get(row.name, row.default)) for row in SETTINGS}
        settings = cls(**found)
        if settings.production:
            _refuse_development_keys(values)
        return settings

    @property
    def production(self) -> bool:
        """Whether this is the real thing."""
        return self.environment == "production"


# What is declared above, as rows for those who list settings.
SETTINGS = tuple(Setting.of(declared) for declared in fields(Settings))


def _refuse_development_keys(values: Mapping[str, str]) -> None:
    for row in SETTINGS:
        if row.secret and DEVELOPMENT_MARK in values[row.name]:
            raise SettingError(
                f"{row.name} is a development key. Set your own before a production start."
            )
