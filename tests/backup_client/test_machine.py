"""The folder of a machine: modes, whole writes, damage, one process at a time."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.python.backup.errors import NotSetUp, StateBusy, StateDamaged
from clients.python.backup.identity import fingerprint, new_identity
from clients.python.backup.keys import FLOOR
from clients.python.backup.machine import Home, Machine, Seen
from clients.python.backup.model import Contact, Profile
from clients.python.private_folder import default_folder

MACHINE = Machine(
    new_identity(),
    (Contact("a", "A \u2603", "", 5), Contact("b", updated_at_ms=6, deleted=True)),
    Profile("some-id", bytes(range(32)), 7),
    {"http://one": Seen(3, 4, 5, "ab")},
    FLOOR,
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """A machine survives the disk, and only its owner may read it."""
    home = Home(tmp_path / "deep" / "home")
    assert not home.exists
    home.save(MACHINE)

    assert home.load() == MACHINE
    assert home.folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in home.folder.iterdir()] == [0o600]


def test_a_write_that_fails_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk loses nothing and leaves no draft."""
    home = Home(tmp_path)
    home.save(MACHINE)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(StateDamaged, match="No space left"):
            home.save(Machine())

    assert home.load() == MACHINE
    assert [path.name for path in tmp_path.iterdir()] == ["machine.json"]


def test_a_folder_without_a_machine_says_so(tmp_path: Path) -> None:
    """It is not damage."""
    with pytest.raises(NotSetUp):
        Home(tmp_path / "nothing").load()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from(["identity", "contacts", "profile", "seen", "cost", "format"]), JSON)
def test_any_damage_is_told_as_damage(
    tmp_path_factory: pytest.TempPathFactory, part: str, value: object
) -> None:
    """Whatever stands in the file, reading it ends with a machine or with a sentence."""
    home = Home(tmp_path_factory.getbasetemp() / "damaged")
    home.save(MACHINE)
    path = home.folder / "machine.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: value}))
    try:
        assert home.load()
    except StateDamaged as error:
        assert "damaged" in str(error)  # noqa: PT017


def test_bytes_that_are_no_json_are_damage(tmp_path: Path) -> None:
    """Also deep nesting and text that is no UTF-8."""
    for content in (b"", b"\xff", b"[" * 100_000, b"[]"):
        (tmp_path / "machine.json").write_bytes(content)
        with pytest.raises(StateDamaged):
            Home(tmp_path).load()


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second is told, not mixed in."""
    first, second = Home(tmp_path / "home"), Home(tmp_path / "home")
    with first.alone(), pytest.raises(StateBusy), second.alone():
        pass
    with second.alone():
        modes = {path.stat().st_mode & 0o777 for path in (first.folder, *first.folder.iterdir())}
    assert modes == {0o700, 0o600}


def test_the_folder_follows_xdg() -> None:
    """$XDG_CONFIG_HOME when it is absolute, else ~/.config."""
    name = "edgekeep-backup"
    assert default_folder({"XDG_CONFIG_HOME": "/x"}, name) == Path("/x/edgekeep-backup")
    assert default_folder({"XDG_CONFIG_HOME": "x"}, name) == Path.home() / ".config" / name


def test_identities_are_curve25519_as_libsignal_writes_them() -> None:
    """The public key follows from the private one, which is clamped (RFC 7748 §5)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    identity, other = new_identity(), new_identity()
    private = X25519PrivateKey.from_private_bytes(identity.private_key)

    assert identity.public_key == b"\x05" + private.public_key().public_bytes_raw()
    assert identity.private_key[0] % 8 == 0
    assert identity.private_key[31] // 64 == 1
    assert fingerprint(identity) != fingerprint(other)
    assert len(fingerprint(identity)) == 39
