""".dev.vars: how it is read, and how development secrets come into it."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from worker.entry.config import Config, ConfigError, load_config
from worker.entry.dev_vars import (
    dev_vars_path,
    gather_variables,
    make_dev_vars,
    read_dev_vars,
)
from worker.setting_kinds import SettingError
from worker.settings import SETTINGS, Settings

SECRETS = {row.name for row in SETTINGS if row.secret}


def dice(count: int) -> bytes:
    """Return bytes that are the same every time."""
    return bytes(range(count))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file would be."""
    return tmp_path / ".dev.vars"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with two variables, in a directory of its own."""
    file = tmp_path / "wrangler_compat.toml"
    file.write_text('name = "trial"\n[vars]\nPROFILE_STORE = "kv"\nIMPORT_REPORT_DAYS = "7"\n')
    return load_config(file)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY=plain", "plain"),
        ("KEY = spaced out ", "spaced out"),
        ("export KEY=exported", "exported"),
        ("KEY=before # a remark", "before"),
        ('KEY="with # inside"', "with # inside"),
        ("KEY='single # \\n kept'", "single # \\n kept"),
        ('KEY="two\\nlines"', "two\nlines"),
        ('KEY="really\ntwo"', "really\ntwo"),
        ('KEY=`back "tick"`', 'back "tick"'),
        ("KEY=", ""),
        ("KEY=a=b", "a=b"),
        ("  KEY=indented\r", "indented"),
        ("KEY=first\nKEY=second", "second"),
        ("# KEY=remark\nKEY=real", "real"),
        ("no assignment here\nKEY=real", "real"),
        ("\ufeffKEY=after a byte order mark", "after a byte order mark"),
    ],
)
def test_a_line_is_read_as_wrangler_reads_it(path: Path, line: str, value: str) -> None:
    """Quotes, remarks, export and repeated names mean what dotenv takes them for."""
    path.write_text(line + "\n", encoding="utf-8")

    assert read_dev_vars(path) == {"KEY": value}


def test_a_missing_file_holds_nothing(path: Path) -> None:
    """No file, no values, no error."""
    assert read_dev_vars(path) == {}


def test_the_first_run_makes_every_secret(path: Path) -> None:
    """A new file holds each secret setting, usable in development, refused in production."""
    assert make_dev_vars(path, dice)

    values = read_dev_vars(path)
    assert set(values) == SECRETS
    assert Settings.load(values).signing_keys.current == "dev1"
    with pytest.raises(SettingError, match="development key"):
        Settings.load({**values, "ENVIRONMENT": "production"})


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    """Whatever the umask, nobody else can read the secrets."""
    before = os.umask(0)
    try:
        make_dev_vars(path, dice)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_run_changes_nothing(path: Path) -> None:
    """A complete file is left as it is, to the byte."""
    make_dev_vars(path, dice)
    before = path.read_bytes()

    assert not make_dev_vars(path, os.urandom)
    assert path.read_bytes() == before


def test_missing_rows_are_added_and_the_others_stay(path: Path) -> None:
    """An older or hand-made file keeps its lines and gains what it lacks."""
    path.write_text("# mine\nMINE=1\nCURSOR_KEY='own choice'", encoding="utf-8")

    assert make_dev_vars(path, dice)

    text = path.read_text(encoding="utf-8")
    assert text.startswith("# mine\nMINE=1\nCURSOR_KEY='own choice'\n")
    assert set(read_dev_vars(path)) == SECRETS | {"MINE"}
    assert read_dev_vars(path)["CURSOR_KEY"] == "own choice"


def test_a_file_open_to_others_is_closed(path: Path) -> None:
    """A complete file that others could read is made private."""
    make_dev_vars(path, dice)
    path.chmod(0o644)

    make_dev_vars(path, dice)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_first_runs_at_once_agree_on_one_set_of_keys(path: Path) -> None:
    """Whoever comes second takes the keys of the first."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make_dev_vars(path, os.urandom), range(8)))

    values = read_dev_vars(path)
    assert set(values) == SECRETS
    assert len(path.read_text().splitlines()) == len(SECRETS) + 2
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_nothing_is_left_behind_when_writing_fails(path: Path) -> None:
    """A failure half-way leaves neither a file nor a draft."""

    def no_dice(count: int) -> bytes:
        if count == 32:
            raise OSError("no entropy")
        return bytes(count)

    with pytest.raises(OSError, match="no entropy"):
        make_dev_vars(path, no_dice)
    assert list(path.parent.iterdir()) == []


def test_the_usual_state_has_its_secrets_where_wrangler_looks(config: Config) -> None:
    """`.edgekeep` beside the configuration goes with `.dev.vars` beside the configuration."""
    home = config.path.parent

    assert dev_vars_path(config, home / ".edgekeep") == home / ".dev.vars"


def test_another_state_has_secrets_of_its_own(config: Config, tmp_path: Path) -> None:
    """Two states never share a key."""
    assert dev_vars_path(config, tmp_path / "trial") == tmp_path / "trial" / ".dev.vars"


def test_the_environment_wins_over_dev_vars_and_these_over_the_file(
    config: Config, path: Path
) -> None:
    """[vars] < .dev.vars < environment."""
    path.write_text("IMPORT_REPORT_DAYS=8\nACCESS_TOKEN_MINUTES=5\n")

    gathered = gather_variables(config, path, {"ACCESS_TOKEN_MINUTES": "6"})

    assert gathered == {
        "PROFILE_STORE": "kv",
        "IMPORT_REPORT_DAYS": "8",
        "ACCESS_TOKEN_MINUTES": "6",
    }


def test_only_our_own_names_are_taken_from_the_environment(config: Config, path: Path) -> None:
    """A shell full of other variables does not leak into the Worker."""
    environ = {"PATH": "/bin", "AWS_SECRET": "x", "EDGEKEEP_KV": "redis://h", "ENVIRONMENT": "e"}

    gathered = gather_variables(config, path, environ)

    assert "PATH" not in gathered
    assert "AWS_SECRET" not in gathered
    assert gathered["EDGEKEEP_KV"] == "redis://h"
    assert gathered["ENVIRONMENT"] == "e"


def test_a_state_made_for_the_secrets_is_private(tmp_path: Path) -> None:
    """The folder may hold people's data later: nobody else looks into it."""
    folder = tmp_path / "state"
    make_dev_vars(folder / ".dev.vars", dice)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# A quote that is not closed on its line, above and below the secrets: each way to write one.
@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("GREETING='Tis the season", "FOOTER='made at home'"),
        ('WIDTH=27" screen', 'HEIGHT=20"'),
        ("NOTE=`half", "OTHER=`made` at home"),
        ("A='b' c'", "B='"),
        ('TITLE="Ada', "END=1"),
    ],
)
def test_a_value_with_half_a_quote_costs_no_secret(path: Path, above: str, below: str) -> None:
    """The secrets between such lines are read, and not made anew."""
    make_dev_vars(path, dice)
    before = read_dev_vars(path)
    path.write_text(f"{above}\n{path.read_text()}{below}\n")

    assert not make_dev_vars(path, os.urandom)
    assert {name: read_dev_vars(path)[name] for name in SECRETS} == before


@pytest.mark.parametrize(
    ("above", "below"),
    [("GREETING='Tis", "FOOTER=home'"), ('A="x', 'B="'), ("export A='", "'")],
)
def test_secrets_inside_of_a_quoted_value_are_not_made_twice(
    path: Path, above: str, below: str
) -> None:
    """wrangler reads one long value there: the start ends, and the sentence names the lines."""
    make_dev_vars(path, dice)
    path.write_text(f"\n{above}\n{path.read_text()}{below}\n")
    before = path.read_bytes()

    with pytest.raises(ConfigError) as refused:
        make_dev_vars(path, os.urandom)

    said = str(refused.value)
    number = before.decode().split("\n").index(next(_lines_of("SIGNING_KEYS", before))) + 1
    assert said.startswith(f"{path}: SIGNING_KEYS on line {number} is not read")
    assert "opens on line 2" in said
    assert "dev-" not in said
    assert path.read_bytes() == before


def _lines_of(name: str, data: bytes) -> Iterator[str]:
    return (line for line in data.decode().split("\n") if line.startswith(f"{name}="))


@pytest.mark.parametrize(
    "lines",
    ["SESSION_KEY=abc\nSESSION_KEY=\n", "SESSION_KEY=#abc\n", "SESSION_KEY:abc\n"],
)
def test_a_secret_that_is_there_and_does_not_count_is_named(path: Path, lines: str) -> None:
    """Taken back further down, taken for a remark, without the blank after its colon."""
    path.write_text("MINE=1\n" + lines)

    with pytest.raises(ConfigError, match="SESSION_KEY on line 2 is not read"):
        make_dev_vars(path, dice)


def test_an_empty_secret_is_none(path: Path) -> None:
    """`SESSION_KEY=` and `SESSION_KEY=''` are filled by a line of their own."""
    path.write_text("SESSION_KEY=\nCURSOR_KEY=''\n# PSEUDONYM_KEY=old\n")

    assert make_dev_vars(path, dice)
    assert set(read_dev_vars(path)) == SECRETS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_another_encoding_is_named(path: Path, encoding: str) -> None:
    """As PowerShell's `>` writes it: nothing is added to what cannot be read."""
    make_dev_vars(path, dice)
    path.write_text(path.read_text(), encoding=encoding)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match="not UTF-8"):
        make_dev_vars(path, os.urandom)
    assert path.read_bytes() == before


def test_bytes_that_are_no_text_stay(path: Path) -> None:
    """A remark in cp1252 is as it was, beside the secrets that were added."""
    path.write_bytes(b"# gr\xfc\xdfe\n")

    assert make_dev_vars(path, dice)
    assert path.read_bytes().startswith(b"# gr\xfc\xdfe\n")


def test_lost_secrets_of_stored_data_are_not_made_anew(path: Path) -> None:
    """Without the file, or with none of them in it; a new one beside the others is made."""
    for text in (None, "", "MINE=1\n"):
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError, match="holds no secrets"):
            make_dev_vars(path, dice, has_data=True)
    path.write_text(f"SESSION_KEY={'A' * 43}\n")

    assert make_dev_vars(path, dice, has_data=True)
    assert set(read_dev_vars(path)) == SECRETS
