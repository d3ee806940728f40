"""`edgekeep relay` as two people use it: two folders, two terminals, one host."""

import json
import os
import signal
import stat
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.python.relay.errors import SealError
from clients.python.relay.home import State
from clients.python.relay.sealing import IdentityKey, is_signed, pack, seal, unseal
from tests.cli.conftest import ROOT, Run, Server, command, environment, run_edgekeep, wait_until
from tests.support.waiting import PATIENCE

PASSWORD = b"tangerine velocity 9\n"
Say = Callable[..., Run]


@pytest.fixture
def say(server: Server, tmp_path: Path) -> Say:
    """Run `edgekeep relay` for somebody: say("bob", "listen", "--once")."""

    def run(name: str, *words: str) -> Run:
        where = ["--home", str(tmp_path / name), "--state", str(server.state)]
        return run_edgekeep("relay", *words, *where, stdin=PASSWORD)

    return run


@pytest.fixture
def two(say: Say, server: Server, tmp_path: Path) -> tuple[str, str]:
    """Two registered people; their names are of this test alone."""
    stem = f"p{abs(hash(tmp_path)) % 10**8}"
    names = f"{stem}_ada", f"{stem}_bob"
    for home, name in zip(("ada", "bob"), names, strict=True):
        done = say(home, "register", name, "--url", server.url, "--password-file", "-")
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.replace(" ", "").strip()) == 30
    return names


def test_a_text_waits_for_somebody_who_is_away(say: Say, two: tuple[str, str]) -> None:
    """Sent while the other is away, shown once when they come; answers go the same way."""
    ada, bob = two
    sent = say("ada", "send", bob, "Hello, we have never met.")
    assert sent.returncode == 0, sent.stderr
    assert "First message" in sent.stderr
    assert "First" not in say("ada", "send", bob, "ünïcode ✓\x1b[31m").stderr
    heard = say("bob", "listen", "--once")
    assert heard.returncode == 0, heard.stderr
    assert [line[8:] for line in heard.stdout.splitlines()] == [
        f"  {ada}: Hello, we have never met.",
        f"  {ada}: ünïcode ✓\\x1b[31m",
    ]
    again = say("bob", "listen", "--once")
    assert (again.returncode, again.stdout) == (1, "")
    assert say("bob", "send", ada, "Hello back.").returncode == 0
    assert "Hello back." in say("ada", "listen", "--once").stdout


def test_whoever_listens_hears_at_once(
    say: Say, two: tuple[str, str], server: Server, tmp_path: Path
) -> None:
    """A listening terminal shows what comes; the same account may send meanwhile."""
    ada, bob = two
    output = tmp_path / "bob.out"
    words = ["relay", "listen", "--home", tmp_path / "bob", "--state", server.state]
    with output.open("wb") as file:
        listening = subprocess.Popen(command(*words), stdout=file, env=environment())
    try:
        assert say("bob", "send", ada, "I listen.").returncode == 0
        assert say("ada", "send", bob, "Do you?").returncode == 0
        wait_until(lambda: "Do you?" in output.read_text())
    finally:
        listening.send_signal(signal.SIGINT)
        assert listening.wait(PATIENCE) == 130


def test_prekeys_are_topped_up_before_they_run_out(
    say: Say, two: tuple[str, str], tmp_path: Path
) -> None:
    """With fewer than twenty left at the server, listening brings new ones."""
    _, bob = two
    path = tmp_path / "ada" / "relay.json"
    state = json.loads(path.read_text())
    headers = {"Authorization": f"Bearer {state['token']}"}
    for _ in range(31):
        request = urllib.request.Request(f"{state['url']}/keys/{bob}", headers=headers)
        urllib.request.urlopen(request, timeout=20).close()
    assert "now it has 69" in say("bob", "listen", "--once").stderr
    assert say("ada", "send", bob, "Still there?").returncode == 0
    assert "Still there?" in say("bob", "listen", "--once").stdout


def test_an_account_signs_in_on_a_new_home(
    say: Say, two: tuple[str, str], server: Server, tmp_path: Path
) -> None:
    """With a new identity, which others see; what was not read is gone, and its sender is told."""
    _, bob = two
    assert say("ada", "send", bob, "Never read.").returncode == 0
    again = say("bob", "login", bob, "--url", server.url, "--password-file", "-")
    assert (again.returncode, "holds an account already" in again.stderr) == (2, True)

    done = say("phone", "login", bob, "--url", server.url, "--password-file", "-")

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "phone" / "relay.json").stat().st_mode) == 0o600
    assert say("phone", "listen", "--once").stdout == ""
    assert "new identity" in say("ada", "listen", "--once").stderr
    assert "another identity key" in say("ada", "send", bob, "Is it you?").stderr
    assert say("ada", "send", bob, "It is.", "--accept-new-identity").returncode == 0
    assert "It is." in say("phone", "listen", "--once").stdout
    # The old home leaves alone what is the new one's.
    old = say("bob", "listen", "--once")
    assert (old.returncode, "on another home" in old.stderr) == (3, True)
    assert say("phone", "listen", "--once").stderr == ""


def test_a_wrong_password_signs_nobody_in(
    server: Server, two: tuple[str, str], tmp_path: Path
) -> None:
    """And leaves no home behind."""
    home = tmp_path / "thief"
    words = ["login", two[0], "--url", server.url, "--password-file", "-", "--home", str(home)]
    done = run_edgekeep("relay", *words, stdin=b"a guess that is wrong\n")
    assert done.returncode == 3, done.stderr
    assert not (home / "relay.json").exists()


def test_a_restored_folder_takes_back_prekeys_that_it_cannot_open(
    say: Say, two: tuple[str, str], tmp_path: Path
) -> None:
    """Listening compares, clears and tops up; what is sent afterwards opens."""
    _, bob = two
    assert say("bob", "listen", "--once").stderr == ""
    path = tmp_path / "bob" / "relay.json"
    state = json.loads(path.read_text())
    [(number, _), *rest] = state["one_time"].items()
    # The oldest prekey, which is given next, has another secret than it had; or they are all gone.
    for kept in ({**dict(rest), number: rest[0][1]}, {}):
        path.write_text(json.dumps({**json.loads(path.read_text()), "one_time": kept}))
        told = say("bob", "listen", "--once").stderr
        assert "secrets are not here" in told
        assert "now it has 50" in told
        assert say("ada", "send", bob, "To the new phone.").returncode == 0
        assert "To the new phone." in say("bob", "listen", "--once").stdout


def test_another_identity_key_is_not_taken_silently(
    say: Say, two: tuple[str, str], tmp_path: Path
) -> None:
    """Neither for sending nor for reading; a person may accept it after comparing."""
    _, bob = two
    assert say("ada", "send", bob, "one").returncode == 0
    assert say("bob", "listen", "--once").returncode == 0
    for home in ("ada", "bob"):
        path = tmp_path / home / "relay.json"
        state = json.loads(path.read_text())
        state["known"] = dict.fromkeys(state["known"], "00" * 32)
        path.write_text(json.dumps(state))
    refused = say("ada", "send", bob, "two")
    assert (refused.returncode, "another identity key" in refused.stderr) == (3, True)
    assert say("ada", "send", bob, "two", "--accept-new-identity").returncode == 0
    unread = say("bob", "listen", "--once")
    assert (unread.returncode, unread.stdout) == (3, "")
    assert "two" in say("bob", "listen", "--once", "--accept-new-identity").stdout


def test_an_expired_token_is_renewed(say: Say, two: tuple[str, str], tmp_path: Path) -> None:
    """By the refresh token, and when that is spent by the password."""
    _, bob = two
    path = tmp_path / "ada" / "relay.json"
    for spoilt in ({}, {"refresh_token": "spent"}):
        state = json.loads(path.read_text()) | {"expires_at": "2026-01-01T00:00:00Z"} | spoilt
        path.write_text(json.dumps(state))
        sent = say("ada", "send", bob, "hello", "--password-file", "-")
        assert sent.returncode == 0, sent.stderr


def test_secrets_are_for_their_owner_alone(two: tuple[str, str], tmp_path: Path) -> None:
    """Folder 0700, file 0600, and no password in it."""
    folder = tmp_path / "bob"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert PASSWORD.strip() not in path.read_bytes()


def test_mistakes_end_in_a_sentence(say: Say, two: tuple[str, str], server: Server) -> None:
    """No account, an account already, nobody of that name, a name that is taken, no server."""
    ada, _ = two
    register = ("register", ada, "--url", server.url, "--password-file", "-")
    for home, words, code, text in (
        ("nobody", ("send", ada, "x"), 2, "holds no account"),
        ("ada", register, 2, "holds an account already"),
        ("ada", ("send", "nobody_at_all", "x"), 3, "nobody with this username"),
        ("ada", ("send", "../../etc", "x"), 3, "nobody with this username"),
        ("other", register, 3, "taken"),
        ("other", (*register[:3], "http://127.0.0.1:9", *register[4:]), 4, "cannot be reached"),
    ):
        done = say(home, *words)
        assert (done.returncode, text in done.stderr) == (code, True), done.stderr
        assert done.stdout == ""


def test_help_says_what_it_is_not() -> None:
    """Each verb calls itself a demo and names what a messenger would use."""
    for verb in ("register", "send", "listen"):
        told = run_edgekeep("relay", verb, "--help").stdout
        assert "not a messenger" in told
        assert "libsignal" in told
        assert "examples:" in told


def _pair() -> tuple[IdentityKey, State, dict[str, object]]:
    """Return a sender, a recipient, and the recipient's bundle."""
    state = State("http://x", "bob", account_id="b")
    upload = state.begin()
    [one_time] = state.more(1)
    return (
        IdentityKey(os.urandom(32)),
        state,
        {**upload, "account_id": "b", "one_time_pre_key": one_time},
    )


def test_a_sealed_text_opens_once_for_its_recipient_alone() -> None:
    """The right accounts and keys open it; once the one-time secret is gone nobody does."""
    me, bob, bundle = _pair()
    sealed = seal(b"text", me, "a", bundle)
    key, used, text = unseal(sealed, bob.identity, "b", "a", bob.secret_of)
    assert (key, text) == (me.public, b"text")
    assert len({seal(b"text", me, "a", bundle) for _ in range(5)}) == 5
    for my_id, sender_id in (("b", "c"), ("c", "a"), ("a", "b")):
        with pytest.raises(SealError):
            unseal(sealed, bob.identity, my_id, sender_id, bob.secret_of)
    with pytest.raises(SealError):
        unseal(sealed, IdentityKey(os.urandom(32)), "b", "a", bob.secret_of)
    del bob.one_time[str(used)]
    with pytest.raises(SealError, match="read before"):
        unseal(sealed, bob.identity, "b", "a", bob.secret_of)


@given(st.data())
@settings(max_examples=60)
def test_nothing_bent_opens(data: st.DataObject) -> None:
    """One bit turned anywhere, or a piece cut off: refused, never another text or error."""
    me, bob, bundle = _pair()
    sealed = bytearray(seal(b"text", me, "a", bundle))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    for bent in (bytes(sealed), bytes(sealed[: at // 8])):
        # The top bit of a Curve25519 key says nothing, but it is authenticated, too.
        with pytest.raises(SealError):
            unseal(bent, bob.identity, "b", "a", bob.secret_of)


def test_a_bundle_that_is_not_sound_is_refused() -> None:
    """Signed by somebody else, of small order, of another shape."""
    me, _, bundle = _pair()
    other = IdentityKey(os.urandom(32))
    zero = {"id": 1, "key": pack(bytes(32))}
    signed_zero = zero | {"signature": b64encode(other.sign(b"\x05" + bytes(32))).decode()}
    for wrong in (
        {"identity_key": pack(other.public)},
        {"identity_key": pack(bytes(32))},
        {"one_time_pre_key": zero},
        {"one_time_pre_key": None},
        {"identity_key": pack(other.public), "signed_pre_key": signed_zero},
        {"signed_pre_key": "x"},
        {"identity_key": "!"},
    ):
        with pytest.raises(SealError):
            seal(b"text", me, "a", {**bundle, **wrong})


def test_what_libsignal_signs_holds_and_nothing_else() -> None:
    """The client verifies by itself: libsignal's vectors, and none of them under a bit turned."""
    vectors = json.loads((ROOT / "tests/relay_clients/xeddsa_vectors.json").read_text())
    for one in vectors:
        key, message, signature = map(bytes.fromhex, one.values())
        assert is_signed(key[1:], message, signature)
        assert not is_signed(key[1:], message + b"x", signature)
        assert not is_signed(key[1:], message, signature[:63] + bytes([signature[63] ^ 0x80]))
    assert not is_signed(key[1:], message, signature[:63])
