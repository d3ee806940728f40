"""The wrangler.toml of the bundle, and `edgekeep edge deploy`: it says, asks, then hands over."""

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.cli.main import main
from scripts.edge import toolchain
from scripts.edge.toml_text import to_toml
from scripts.edge.wrangler_config import derive, local_names
from worker.entry.config import ConfigError, load_config
from worker.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
COMPAT = ROOT / "wrangler_compat.toml"
KV_ID = "0123456789abcdef0123456789abcdef"
PRODUCTION = f"""
[env.production]
account_id = "{KV_ID}"

[env.production.vars]
ENVIRONMENT = "production"

[[env.production.kv_namespaces]]
binding = "PROFILES_KV"
id = "{KV_ID}"

[[env.production.kv_namespaces]]
binding = "IMPORT_REPORT_KV"
id = "{KV_ID}"

[[env.production.kv_namespaces]]
binding = "IDEMPOTENCY_KV"
id = "{KV_ID}"

[[env.production.d1_databases]]
binding = "DB"
database_id = "01234567-89ab-cdef-0123-456789abcdef"
"""


@pytest.fixture
def compat(tmp_path: Path) -> Path:
    """A wrangler_compat.toml with an environment for production."""
    path = tmp_path / "wrangler_compat.toml"
    path.write_text(COMPAT.read_text() + PRODUCTION)
    (tmp_path / "d1_schema").symlink_to(ROOT / "d1_schema")
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What wrangler would have been called with; nothing is called."""
    told: list[list[str]] = []
    real = subprocess.run

    def run(command: list[str], **options: Any) -> Any:
        if "wrangler" not in command[0]:
            return real(command, **options)
        told.append(command[1:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(toolchain, "install", lambda: None)
    monkeypatch.setattr(toolchain, "wrangler_command", lambda words: ["wrangler", *words])
    monkeypatch.setattr(subprocess, "run", run)
    return told


def deploy(compat: Path, tmp_path: Path, *words: str) -> int:
    """Run the verb on *compat*."""
    out = str(tmp_path / "edge")
    return main(["edge", "deploy", "--config", str(compat), "--out", out, *words])


# -- wrangler.toml ---------------------------------------------------------------------------------


def test_bindings_variables_classes_crons_and_migrations_stay_as_they_are() -> None:
    """Only main and the module rules are the bundle's own."""
    source = tomllib.loads(COMPAT.read_text())
    made = tomllib.loads(to_toml(derive(COMPAT, None)))

    assert made["main"] == "src/main.py"
    assert "python_workers" in made["compatibility_flags"]
    assert {"type": "Text", "globs": ["**/*.json"], "fallthrough": True} in made["rules"]
    for key in source.keys() - {"main", "rules", "env"}:
        assert made[key] == source[key]


def test_the_laptop_reads_the_derived_file_too(tmp_path: Path) -> None:
    """Both worlds mean the same by it."""
    path = tmp_path / "wrangler.toml"
    path.write_text(to_toml(derive(COMPAT, None)))

    assert load_config(path).actors == load_config(COMPAT).actors
    assert load_config(path).crons == load_config(COMPAT).crons


def test_no_secret_gets_into_the_bundle(tmp_path: Path) -> None:
    """A secret in [vars] stops the build and says how to set it instead."""
    name = next(row.name for row in SETTINGS if row.secret)
    path = tmp_path / "wrangler_compat.toml"
    path.write_text(COMPAT.read_text().replace("[vars]", f'[vars]\n{name} = "x"'))

    with pytest.raises(ConfigError, match=f"vars.{name} is a secret.*wrangler secret put {name}"):
        derive(path, None)


def test_an_environment_adds_its_ids_and_keeps_the_rest(compat: Path) -> None:
    """Rows with the same binding are merged, so production repeats nothing."""
    made = derive(compat, "production")

    assert made["vars"] == {"ENVIRONMENT": "production", "PROFILE_STORE": "kv"}
    assert {row["id"] for row in made["kv_namespaces"]} == {KV_ID}
    assert made["d1_databases"][0]["migrations_dir"] == "d1_schema/migrations"
    assert made["durable_objects"] == derive(compat, None)["durable_objects"]
    assert "env" not in made
    assert local_names(made) == []


def test_an_environment_that_does_not_exist_is_refused(compat: Path) -> None:
    """The sentence lists those there are."""
    with pytest.raises(ConfigError, match=r"no \[env.staging\] \(there: production\)"):
        derive(compat, "staging")


_KEYS = st.text(min_size=1, max_size=8)
_SCALARS = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)
_TABLES = st.recursive(
    st.dictionaries(_KEYS.filter(lambda key: key.isprintable()), _SCALARS | st.lists(_SCALARS)),
    lambda inner: st.dictionaries(
        _KEYS.filter(lambda key: key.isprintable()), inner | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@given(_TABLES)
def test_every_document_is_read_back_as_it_was(document: dict[str, Any]) -> None:
    """The writer of TOML agrees with the reader of the standard library."""
    assert tomllib.loads(to_toml(document)) == document


# -- deploy ----------------------------------------------------------------------------------------


def test_a_deploy_says_everything_it_will_do_before_it_does_it(
    compat: Path, tmp_path: Path, calls: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Name, account, bindings, migrations, crons, variables, and the secrets to set."""
    assert deploy(compat, tmp_path, "--env", "production", "--yes") == 0

    said = capsys.readouterr().out
    for line in (
        "Worker        edgekeep",
        f"Account       {KV_ID}",
        f"KV            PROFILES_KV -> namespace {KV_ID}",
        "R2            BLOBS -> bucket edgekeep-blobs",
        "Actor         IMPORT_ROOM -> class ImportRoom",
        "Actor classes migration v1: new ImportRoom, IdempotencyBox",
        "Cron          17 3 * * * (UTC)",
        "wrangler d1 migrations apply edgekeep --remote",
    ):
        assert line in said
    for row in SETTINGS:
        assert (f"wrangler secret put {row.name}" in said) == row.secret


def test_tables_come_before_the_code_that_needs_them(
    compat: Path, tmp_path: Path, calls: list[list[str]]
) -> None:
    """wrangler gets the D1 migrations first, then the deploy."""
    deploy(compat, tmp_path, "--env", "production", "--yes")

    config = ["--config", "wrangler.toml"]
    assert calls == [
        ["d1", "migrations", "apply", "edgekeep", "--remote", *config],
        ["deploy", *config],
    ]


def test_nobody_to_ask_means_no_deploy(
    compat: Path, tmp_path: Path, calls: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal and without --yes the verb refuses (exit code 3)."""
    assert deploy(compat, tmp_path, "--env", "production") == 3

    assert calls == []
    assert "say --yes to deploy" in capsys.readouterr().err


def test_names_of_a_laptop_are_no_ids(
    compat: Path, tmp_path: Path, calls: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each store without a real id is listed with the command that makes it."""
    assert deploy(compat, tmp_path, "--yes") == 3

    assert calls == []
    said = capsys.readouterr().err
    assert "wrangler kv namespace create PROFILES_KV" in said
    assert "wrangler d1 create edgekeep" in said
