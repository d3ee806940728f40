"""Settings: read once, refused with a sentence that never quotes a value; secrets do not print."""

import pytest

from tests.support.running_host import SECRETS
from worker.codec import b64url
from worker.setting_kinds import Secret, SettingError
from worker.settings import SETTINGS, Settings

_KEY = b64url(b"z" * 32)


def test_the_defaults_are_enough_beside_the_secrets() -> None:
    """Only key material has no default."""
    settings = Settings.load(SECRETS)
    assert (settings.environment, settings.profile_store) == ("development", "kv")
    assert settings.signing_keys.current == "new"
    assert set(settings.signing_keys.keys) == {"new", "old"}
    assert not settings.production
    assert settings.cors_origins == ()


@pytest.mark.parametrize("name", [row.name for row in SETTINGS if row.secret])
def test_a_missing_secret_is_named(name: str) -> None:
    """The text says which and what it is for."""
    rest = {key: value for key, value in SECRETS.items() if key != name}
    with pytest.raises(SettingError, match=f"{name} is missing"):
        Settings.load(rest)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "staging-canary"),
        ("PROFILE_STORE", "KV-canary"),
        ("PROFILE_STORE", ""),
        ("IMPORT_MAX_BYTES", "0"),
        ("IMPORT_MAX_BYTES", "-5"),
        ("IMPORT_MAX_BYTES", "1.5-canary"),
        ("IDEMPOTENCY_HOURS", ""),
        ("IDEMPOTENCY_HOURS", "²"),
        ("CURSOR_KEY", "canary"),
        ("CURSOR_KEY", b64url(b"short")),
        ("CURSOR_KEY", b64url(b"canary" * 6)),
        ("CURSOR_KEY", _KEY + "="),
        ("CURSOR_KEY", ""),
        ("SIGNING_KEYS", _KEY),
        ("SIGNING_KEYS", f"a:{_KEY},a:{_KEY}"),
        ("SIGNING_KEYS", f":{_KEY}"),
        ("SIGNING_KEYS", f"a:{_KEY},"),
        ("SIGNING_KEYS", "a:canary"),
        ("MAIL_FROM", "canary"),
        ("MAIL_FROM", "Canary\r\nBcc: x <canary@x.example>"),
        ("MAIL_FROM", "canary@x.example, canary@y.example"),
        ("MAIL_FROM", "Canary <a@x.example>, B <canary@y.example>"),
        ("MAIL_FROM", "Canary: a@x.example, b@x.example;"),
        ("MAIL_FROM", "Canary <a@x.example> canary"),
        ("MAIL_FROM", "Canary <a..b@x.example>"),
        ("MAIL_FROM", "Canary <@relay.example:a@x.example>"),
        ("MAIL_FROM", "Canary <jürgen@x.example>"),
        ("MAIL_FROM", "Canary <canary@>"),
        ("MAIL_FROM", '"Canary <a@x.example>'),
        ("MAIL_FROM", ""),
        ("SMTP_URL", "canary"),
        ("SMTP_URL", "https://canary.example"),
        ("SMTP_URL", "smtps://canary:@mail.example"),
        ("SMTP_URL", "smtps://:canary@mail.example"),
        ("SMTP_URL", "smtp://ada:canary@mail.example"),
        ("SMTP_URL", "smtps://canary.example?starttls"),
        ("SMTP_URL", "smtp://canary.example?tls=maybe"),
        ("SMTP_URL", "smtps://canary.example/mail"),
        ("SMTP_URL", "smtps://canary.example:port"),
        ("SMTP_URL", "smtps://canary.example:99999"),
        ("SMTP_URL", "smtps://[canary"),
        ("SMTP_URL", "smtps://"),
        ("MAIL_WEBHOOK_URL", "http://canary.example/mail"),
        ("MAIL_WEBHOOK_URL", "https://"),
        ("MAIL_WEBHOOK_URL", "https://canary.example/a b"),
        ("MAIL_WEBHOOK_SECRET", "canary\r\nX: y"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_not_quoted(name: str, value: str) -> None:
    """It may be a key that was put in the wrong place."""
    with pytest.raises(SettingError) as error:
        Settings.load({**SECRETS, name: value})
    assert name in str(error.value)
    assert "canary" not in str(error.value)
    assert _KEY not in str(error.value)


def test_production_refuses_development_keys() -> None:
    """A key that scripts/dev made does not guard the real thing, wherever it stands in a ring."""
    live = {**SECRETS, "ENVIRONMENT": "production"}
    assert Settings.load(live).production
    for name, value in (
        ("CURSOR_KEY", f"dev-{_KEY}"),
        ("SIGNING_KEYS", f"a:{_KEY},dev1:dev-{_KEY}"),
    ):
        with pytest.raises(SettingError, match="development key"):
            Settings.load({**live, name: value})
        assert Settings.load({**SECRETS, name: value})


def test_a_secret_does_not_print() -> None:
    """Not in a repr, not in a text, not inside its settings."""
    settings = Settings.load({**SECRETS, "CURSOR_KEY": b64url(b"canarycanarycanarycanarycanary12")})
    for text in (
        repr(settings),
        str(settings),
        f"{settings.cursor_key!s}",
        f"{[Secret(b'canary')]}",
    ):
        assert "canary" not in text
    assert settings.cursor_key.reveal() == b"canarycanarycanarycanarycanary12"


def test_a_list_of_origins_is_split() -> None:
    """Commas and blanks."""
    origins = Settings.load({**SECRETS, "CORS_ORIGINS": " https://a.example ,,tauri://localhost"})
    assert origins.cors_origins == ("https://a.example", "tauri://localhost")


def test_passwords_of_servers_are_hidden_and_may_be_left_out() -> None:
    """They are no key material: nobody makes one, and no start fails without."""
    hidden = [row.name for row in SETTINGS if row.hidden and not row.secret]
    assert {"SMTP_URL", "MAIL_WEBHOOK_URL", "MAIL_WEBHOOK_SECRET"} <= set(hidden)
    without = Settings.load(SECRETS)
    assert without.smtp_url is without.mail_webhook_url is without.mail_webhook_secret is None
    given = {
        "SMTP_URL": "smtps://ada:pass-word@mail.example",
        "MAIL_WEBHOOK_URL": "https://mail.example/?key=pass-word",
        "MAIL_WEBHOOK_SECRET": "pass-word",
        "MAIL_FROM": "Ada's place <ada@mail.example>",
    }
    settings = Settings.load({**SECRETS, **given})
    assert "pass-word" not in repr(settings)
    assert settings.mail_from == ("Ada's place", "ada@mail.example")
