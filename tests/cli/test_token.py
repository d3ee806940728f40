"""`edgekeep token`: what it prints, for whom it holds, when it refuses."""

import time
from pathlib import Path

import pytest

from tests.cli.conftest import Edgekeep
from worker.entry.dev_vars import read_dev_vars
from worker.errors import Unauthorized
from worker.identity.tokens import verify
from worker.settings import Settings


def keys_of(state: Path) -> Settings:
    """Return the settings of a state that has its own secrets."""
    return Settings.load(read_dev_vars(state / ".dev.vars"))


def test_only_the_token_is_printed(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """stdout holds one token that the state's own keys accept, with the scopes asked for."""
    done = edgekeep(
        "token", "--scope", "profiles:import", "--scope", "profiles:export", "--state", tmp_path
    )

    assert done.returncode == 0
    assert done.stderr == ""
    caller = verify(done.stdout.strip(), keys_of(tmp_path).signing_keys, time.time())
    assert caller.subject == "dev"
    assert caller.scopes == {"profiles:import", "profiles:export"}


def test_lifetime_and_subject_can_be_chosen(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """A token of one minute names its subject and is over after that minute."""
    words = ("token", "--scope", "a:b", "--subject", "ada", "--minutes", "1", "--state", tmp_path)
    token = edgekeep(*words).stdout.strip()
    keys = keys_of(tmp_path).signing_keys

    assert verify(token, keys, time.time()).subject == "ada"
    with pytest.raises(Unauthorized):
        verify(token, keys, time.time() + 61)


def test_two_states_do_not_accept_each_others_tokens(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Each state but the usual one has keys of its own."""
    token = edgekeep("token", "--scope", "a:b", "--state", tmp_path / "one").stdout.strip()
    edgekeep("token", "--scope", "a:b", "--state", tmp_path / "two")

    with pytest.raises(Unauthorized):
        verify(token, keys_of(tmp_path / "two").signing_keys, time.time())


def test_the_usual_state_has_its_secrets_beside_the_configuration(
    edgekeep: Edgekeep, tmp_path: Path
) -> None:
    """.edgekeep beside the file goes with .dev.vars beside the file, private to its owner."""
    (tmp_path / "wrangler_compat.toml").write_text('name = "trial"\n')

    done = edgekeep("token", "--scope", "a:b", cwd=tmp_path)

    assert done.returncode == 0
    assert (tmp_path / ".dev.vars").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / ".edgekeep" / ".dev.vars").exists()


def test_production_is_refused_and_gets_no_secrets(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """No development key is made or used where ENVIRONMENT is production."""
    done = edgekeep("token", "--scope", "a:b", "--state", tmp_path, ENVIRONMENT="production")

    assert done.returncode == 2
    assert done.stdout == ""
    assert not (tmp_path / ".dev.vars").exists()


def test_production_with_real_keys_is_refused_too(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Real keys in the environment do not make this command an issuer."""
    key = "A" * 43
    done = edgekeep(
        "token",
        "--scope",
        "a:b",
        "--state",
        tmp_path,
        ENVIRONMENT="production",
        SIGNING_KEYS=f"k1:{key}",
        CURSOR_KEY=key,
        SESSION_KEY=key,
        EMAIL_LOOKUP_KEYS=f"k1:{key}",
        PSEUDONYM_KEY=key,
    )

    assert done.returncode == 2
    assert "production" in done.stderr
    assert key not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [("--scope", "no scope"), ("--subject", ""), ("--minutes", "0"), ("--minutes", "soon")],
)
def test_odd_arguments_are_refused(
    edgekeep: Edgekeep, tmp_path: Path, option: str, value: str
) -> None:
    """What cannot be a scope, a subject or a lifetime is wrong usage."""
    words = ["token", "--scope", "a:b", "--state", tmp_path, option, value]

    assert edgekeep(*words).returncode == 2
