"""`edgekeep keys …`: rings in .dev.vars change whole, show no key, and sign nobody out."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest

from tests.cli.conftest import Edgekeep, running_server
from tests.cli.test_account import ask, create, is_in, sign_in
from tests.support.verbs import Run
from tests.support.verbs import edgekeep as run
from worker.codec import b64url
from worker.entry.dev_vars import read_dev_vars, set_dev_var
from worker.identity.tokens import issue, verify
from worker.settings import Settings


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state with development secrets."""
    assert run("keys", "list", "--state", tmp_path).returncode == 0
    return tmp_path


def keys(state: Path, *words: str, **variables: str) -> Run:
    """Run a verb of `keys` on *state*."""
    return run("keys", *words, "--state", state, **variables)


def settings_of(state: Path) -> Settings:
    """Return the settings with the secrets of *state*."""
    return Settings.load(read_dev_vars(state / ".dev.vars"))


def secrets_in(state: Path) -> list[str]:
    """Return every key of *state* as text."""
    values = read_dev_vars(state / ".dev.vars").values()
    return [entry.rpartition("dev-")[2] for value in values for entry in value.split(",")]


def test_a_new_key_signs_and_the_old_ones_still_hold(state: Path) -> None:
    """In front of the ring; every other secret and the rest of the file stay as they are."""
    path = state / ".dev.vars"
    path.write_text(f"{path.read_text()}# a remark\nOTHER='x y'\n")
    before, values = settings_of(state), read_dev_vars(path)
    token = issue(before.signing_keys, "somebody", (), time.time(), 15)

    done = keys(state, "rotate-signing")

    assert done.returncode == 0
    after = settings_of(state)
    assert list(after.signing_keys.keys) == [after.signing_keys.current, "dev1"]
    assert after.signing_keys.current in done.stderr
    assert verify(token, after.signing_keys, time.time()).subject == "somebody"
    changed = {name for name, value in read_dev_vars(path).items() if values[name] != value}
    assert changed == {"SIGNING_KEYS"}
    assert "# a remark\n" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in state.iterdir()] == [".dev.vars"]


def test_no_key_is_shown(state: Path) -> None:
    """Ids and their use; the word for scripts says the same."""
    keys(state, "rotate-signing")
    keys(state, "rotate-email-lookup")
    said = [keys(state, *words) for words in (["list"], ["list", "--json"], ["rotate-signing"])]
    said += [keys(state, "drop-signing", "dev1"), keys(state, "rotate-session", "--yes")]

    for done in said:
        assert done.returncode == 0
        for secret in secrets_in(state):
            assert len(secret) > 40
            assert secret not in done.stdout + done.stderr
    listed = json.loads(said[1].stdout)
    today = time.strftime("%Y%m%d", time.gmtime())
    assert [(one["setting"], one["id"], one["current"]) for one in listed] == [
        ("SIGNING_KEYS", today, True),
        ("SIGNING_KEYS", "dev1", False),
        ("EMAIL_LOOKUP_KEYS", today, True),
        ("EMAIL_LOOKUP_KEYS", "dev1", False),
    ]
    assert {row.split()[1] for row in said[0].stdout.splitlines()[1:]} == {today, "dev1"}


def test_only_an_old_key_is_dropped(state: Path) -> None:
    """Not the one that signs, not one that is not there; what it signed holds no more."""
    token = issue(settings_of(state).signing_keys, "somebody", (), time.time(), 15)
    assert keys(state, "drop-signing", "dev1").returncode == 3
    keys(state, "rotate-signing")
    current = settings_of(state).signing_keys.current
    assert keys(state, "drop-signing", current).returncode == 3
    assert keys(state, "drop-signing", "nothing").returncode == 1

    done = keys(state, "drop-signing", "dev1")

    assert done.returncode == 0
    assert "15 minutes" in done.stderr
    assert list(settings_of(state).signing_keys.keys) == [current]
    with pytest.raises(Exception, match="not valid"):
        verify(token, settings_of(state).signing_keys, time.time())


def test_signing_everybody_out_needs_a_yes(state: Path) -> None:
    """Code 3 and nothing changed without; a new key with it."""
    before = settings_of(state).session_key.reveal()
    refused = keys(state, "rotate-session")
    assert (refused.returncode, settings_of(state).session_key.reveal()) == (3, before)
    assert keys(state, "rotate-session", "--yes").returncode == 0
    assert settings_of(state).session_key.reveal() != before


def test_print_writes_nothing_and_makes_real_keys(state: Path) -> None:
    """The ring of the environment with a new key in front: production takes it."""
    before = (state / ".dev.vars").read_bytes()
    old = f"k1:{b64url(b'1' * 32)}"
    done = keys(state, "rotate-signing", "--print", SIGNING_KEYS=old, ENVIRONMENT="production")

    assert done.returncode == 0
    ring = done.stdout.strip()
    assert ring.endswith(f",{old}")
    assert ring.count("\n") == 0
    assert "dev-" not in ring
    assert "wrangler secret put SIGNING_KEYS" in done.stderr
    assert (state / ".dev.vars").read_bytes() == before
    dropped = keys(state, "drop-signing", "k1", "--print", SIGNING_KEYS=ring)
    assert dropped.stdout.strip() == ring.removesuffix(f",{old}")
    alone = keys(state, "rotate-signing", "--print")
    assert "," not in alone.stdout
    assert "warning" in alone.stderr


def test_where_the_file_does_not_count_nothing_is_written(state: Path) -> None:
    """Production, and a ring in the environment, which goes before the file."""
    before = (state / ".dev.vars").read_bytes()
    ring = f"k1:{b64url(b'1' * 32)}"
    for variables in ({"ENVIRONMENT": "production"}, {"SIGNING_KEYS": ring}):
        done = keys(state, "rotate-signing", **variables)
        assert done.returncode == 2
        assert "--print" in done.stderr
        assert ring not in done.stderr
    assert (state / ".dev.vars").read_bytes() == before


def test_a_ring_that_is_none_is_told_without_it(state: Path) -> None:
    """Nothing of a broken value is repeated."""
    set_dev_var(state / ".dev.vars", "SIGNING_KEYS", "CANARY")
    done = keys(state, "rotate-signing")
    assert done.returncode == 2
    assert "SIGNING_KEYS" in done.stderr
    assert "CANARY" not in done.stderr


def test_rotations_at_the_same_moment_lose_no_key(edgekeep: Edgekeep, state: Path) -> None:
    """Each is in the ring or was refused; the file is whole."""
    with ThreadPoolExecutor(3) as pool:
        words = ("keys", "rotate-signing", "--state", state)
        done = list(pool.map(lambda _: edgekeep(*words), range(3)))
    codes = [one.returncode for one in done]
    assert set(codes) <= {0, 3}
    assert len(settings_of(state).signing_keys.keys) == 1 + codes.count(0)
    assert codes.count(0) >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nKEY=old\nB=2\n", "A=1\nKEY=new\nB=2\n"),
        ("KEY=old # remark\nB=2", "KEY=new # remark\nB=2"),
        ('export KEY="old\nold"\nB=2\n', "KEY=new\nB=2\n"),
        ("KEY=one\nA=1\nKEY='two'\n", "KEY=new\nA=1\nKEY=new\n"),
        ("A=1", "A=1\nKEY=new\n"),
        ("", "KEY=new\n"),
        ("# KEY=no\nKEYS=1\nMY.KEY=2\n", "# KEY=no\nKEYS=1\nMY.KEY=2\nKEY=new\n"),
    ],
)
def test_one_variable_is_replaced_and_the_rest_stays(
    tmp_path: Path, text: str, expected: str
) -> None:
    """However it was written, and however often; also behind a link to the file."""
    real, link = tmp_path / "real", tmp_path / ".dev.vars"
    real.write_text(text)
    link.symlink_to(real)
    set_dev_var(link, "KEY", "new")
    assert real.read_text() == expected
    assert read_dev_vars(link)["KEY"] == "new"
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600


def test_sessions_live_through_a_rotation(tmp_path: Path) -> None:
    """A real host, rotated while it runs and started anew: nobody signs in again."""
    state = tmp_path / "state"
    with running_server(state) as server:
        assert create(state, "ada").returncode == 0
        grant = sign_in(server)[1]
        rotated = keys(state, "rotate-signing")
        assert "Restart the running host" in rotated.stderr
        # What runs goes on with the keys it has.
        assert is_in(server, grant["token"])
        assert jwt.get_unverified_header(sign_in(server)[1]["token"])["kid"] == "dev1"
        assert server.stop() == 0
    with running_server(state) as server:
        assert is_in(server, grant["token"])
        body = {"refresh_token": grant["refresh_token"]}
        status, renewed = ask(server, "POST", "/v1/sessions/refresh", body)
        assert status == 200
        assert renewed["session_id"] == grant["session_id"]
        fresh = settings_of(state).signing_keys.current
        assert jwt.get_unverified_header(renewed["token"])["kid"] == fresh != "dev1"
        assert server.stop() == 0
    assert keys(state, "drop-signing", "dev1").returncode == 0
    with running_server(state) as server:
        assert not is_in(server, grant["token"])
        assert is_in(server, renewed["token"])
        body = {"refresh_token": renewed["refresh_token"]}
        assert ask(server, "POST", "/v1/sessions/refresh", body)[0] == 200
