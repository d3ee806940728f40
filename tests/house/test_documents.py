"""Files that repeat what the code says: they say the same."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.cli.reference import pages, problems
from tests.house.sources import ROOT
from worker.entry.config import load_config
from worker.registry import ACTORS, SCHEDULES
from worker.settings import SETTINGS

CONFIG = load_config(ROOT / "wrangler_compat.toml")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;]+)(?: ; (.+))?$")

# The codes of version 0.1.0 and before.
KEPT = re.findall(
    r"\w+",
    """
    backup_changed backup_in_use backup_lost bad_request broken_gzip busy checksum_mismatch
    conflict csrf_failed forbidden idempotency_key_in_use idempotency_key_reused identity_taken
    import_id_taken import_refused incomplete_body internal_error invalid_cursor invalid_link
    last_identity length_required mail_unavailable method_not_allowed not_found not_open_yet
    origin_not_allowed other_browser payload_too_large prekeys_exhausted range_not_satisfiable
    rate_limited refresh_reused request_timeout sign_in_again storage_unavailable unauthorized
    unprocessable unsupported_media_type upgrade_required username_taken
    """,
)


def read(path: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def test_generated_pages_are_current() -> None:
    """docs/settings.md, errors.md and limits.md are what `edgekeep docs` would write."""
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run edgekeep docs"


def test_every_setting_is_documented() -> None:
    """Each row of SETTINGS has its line in docs/settings.md."""
    documented = read("docs/settings.md")

    assert [row.name for row in SETTINGS if f"`{row.name}`" not in documented] == []


def test_every_problem_code_is_documented() -> None:
    """Each code that the source of any slice gives a problem is in docs/errors.md."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("errors.py")]
    codes = [
        code for text in texts for code in re.findall(r'code, title = (?:\d+, )?"(\w+)"', text)
    ]
    documented = read("docs/errors.md")

    assert len(texts) > 3
    assert len(codes) > 30
    assert [code for code in codes if f"`{code}`" not in documented] == []


def test_a_problem_has_a_code_of_its_own_which_stays() -> None:
    """Clients build on codes: no two refusals share one, and none is renamed or taken away."""
    codes = [problem.code for problem in problems()]

    assert sorted(codes) == sorted(set(codes))
    assert set(KEPT) - set(codes) == set()
    assert {one.__module__.rpartition(".")[2] for one in problems()} == {"errors"}


def test_the_configuration_names_exactly_the_actors_of_the_code() -> None:
    """Each actor class is bound once, and nothing is bound that does not exist."""
    assert sorted(CONFIG.actors.values()) == sorted(ACTORS)


def test_the_configuration_names_exactly_the_schedules_of_the_code() -> None:
    """Each cron has a job and each job a cron."""
    assert sorted(CONFIG.crons) == sorted(SCHEDULES)


def test_the_configuration_sets_only_what_is_a_setting() -> None:
    """A variable that nothing reads would be a misspelt one; secrets do not stand there."""
    rows = {row.name: row for row in SETTINGS}

    assert set(CONFIG.variables) <= set(rows)
    assert [name for name in CONFIG.variables if rows[name].secret] == []


def test_the_lock_pins_everything_we_need_and_nothing_else() -> None:
    """requirements.lock is the closure of pyproject.toml's dependencies, and what is installed."""
    pins: dict[str, str] = {}
    for line in read("requirements.lock").splitlines():
        if line and not line.startswith("#"):
            found = PIN.match(line)
            assert found, line
            pins[str(canonicalize_name(found[1]))] = found[2]
    # Needed on some Pythons or platforms only, and to build.
    elsewhere = {"async-timeout", "setuptools"}

    project = tomllib.loads(read("pyproject.toml"))["project"]
    needed = _closure([*project["dependencies"], *project["optional-dependencies"]["dev"]])
    assert needed - set(pins) == set()
    assert set(pins) - needed - elsewhere == set()
    assert {name: metadata.version(name) for name in needed} == {
        name: pins[name] for name in needed
    }


def _closure(requirements: list[str]) -> set[str]:
    """Return the canonical names of all that *requirements* need here, themselves included."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        name = str(canonicalize_name(wanted.name))
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            extras = wanted.extras or {""}
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                needed.marker = None
                waiting.append(needed)
    return found


def test_the_licence_is_whole() -> None:
    """LICENSE is the Apache License 2.0 from title to end."""
    text = read("LICENSE")

    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_shell_verbs_can_be_run() -> None:
    """The scripts and the CI entry are executable."""
    for name in ("scripts/dev", "scripts/test", "scripts/check", ".ci/run"):
        assert Path(ROOT / name).stat().st_mode & 0o111, name
