"""
scripts/dev, test and check: setting up, starting at once, repairing, refusing.

They run in a checkout of their own with a Python that only notes what it is asked to do.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

FAKE_PYTHON = """\
#!/bin/sh
echo "$0 $*" >> "$NOTES"
case "$*" in
    "-c import sys; sys.exit(sys.version_info"*) exit "${TOO_OLD:-0}" ;;
    "-c import venv, ensurepip") exit "${NO_VENV:-0}" ;;
    --version) echo "Python 3.12.9" ;;
    "-m venv --clear "*)
        rm -rf "$4" && mkdir -p "$4/bin" && cp "$FAKE" "$4/bin/python"
        echo "#!$4/bin/python" > "$4/bin/pip" ;;
    "-m pip --version") ;;
    "-m pip install"*"--editable"*)
        [ -z "${BREAK:-}" ] || { echo "no space left" >&2; exit 1; }
        here=$(dirname "$0")
        printf '#!/bin/sh\\necho "edgekeep $*"\\n' > "$here/edgekeep"
        chmod +x "$here/edgekeep" ;;
    "-m pytest"*) echo "pytest here: $PWD"; shift 2; echo "pytest: $*" ;;
esac
"""


@dataclass
class Checkout:
    """A copy of the scripts, and a PATH on which the noting Python is the only one."""

    root: Path
    bin: Path

    def run(
        self, verb: str, *words: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run scripts/*verb* with *words*; *variables* steer the noting Python."""
        self.notes.write_text("")
        return subprocess.run(
            [str(self.root / "scripts" / verb), *words],
            cwd=cwd or self.root,
            env={
                "PATH": str(self.bin),
                "NOTES": str(self.notes),
                "FAKE": str(self.bin / "python3"),
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    @property
    def notes(self) -> Path:
        """Where the noting Python writes."""
        return self.bin / "notes"

    @property
    def asked(self) -> list[str]:
        """What the Pythons were asked to do in the last run."""
        return [line.split(" ", 1)[1] for line in self.notes.read_text().splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout that was never set up, in a folder whose name has a space."""
    root, bin_ = tmp_path / "my checkout", tmp_path / "bin"
    (root / "scripts").mkdir(parents=True)
    bin_.mkdir()
    for name in ("dev", "test", "check", "setup"):
        shutil.copy(ROOT / "scripts" / name, root / "scripts" / name)
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    for tool in ("sh", "cat", "cp", "cmp", "rm", "mkdir", "grep", "dirname", "readlink", "sleep"):
        found = shutil.which(tool)
        assert found, tool
        (bin_ / tool).symlink_to(found)
    chmod = shutil.which("chmod")
    assert chmod
    (bin_ / "chmod").symlink_to(chmod)
    (bin_ / "python3").write_text(FAKE_PYTHON)
    (bin_ / "python3").chmod(0o755)
    return Checkout(root, bin_)


def test_the_first_run_sets_up_and_starts(checkout: Checkout) -> None:
    """A venv, the pinned packages, the project itself; said in a few plain lines."""
    done = checkout.run("dev", "--port", "9000")

    assert done.returncode == 0, done.stderr
    assert done.stdout == "edgekeep dev --port 9000\n"
    assert "making .venv with Python 3.12.9" in done.stderr
    assert re.search(r"installing \d+ packages", done.stderr)
    assert done.stderr.splitlines()[-1] == "edgekeep: ready"
    assert len(done.stderr.splitlines()) == 3


def test_the_second_run_starts_at_once(checkout: Checkout) -> None:
    """Nothing changed, so no Python is asked for anything."""
    checkout.run("dev")

    done = checkout.run("dev")

    assert done.stdout == "edgekeep dev\n"
    assert done.stderr == ""
    assert checkout.asked == []


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_change_installs_again_into_the_same_venv(checkout: Checkout, name: str) -> None:
    """Another lock or project file is noticed by its content."""
    checkout.run("dev")
    with (checkout.root / name).open("a") as file:
        file.write("# another line\n")

    done = checkout.run("dev")

    assert "installing" in done.stderr
    assert "making .venv" not in done.stderr
    assert checkout.run("dev").stderr == ""


def test_an_interrupted_install_is_repaired_by_the_next_run(checkout: Checkout) -> None:
    """A failure says so with pip's own words; the next run does it again."""
    failed = checkout.run("dev", BREAK="1")
    repaired = checkout.run("dev")

    assert failed.returncode == 1
    assert "no space left" in failed.stderr
    assert "installing failed" in failed.stderr
    assert failed.stdout == ""
    assert repaired.returncode == 0
    assert repaired.stdout == "edgekeep dev\n"


def test_a_half_made_venv_is_made_anew(checkout: Checkout) -> None:
    """A .venv without pip, left by a kill, is not built upon."""
    (checkout.root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(checkout.bin / "python3", checkout.root / ".venv" / "bin" / "python")

    done = checkout.run("dev")

    assert done.returncode == 0
    assert "making .venv" in done.stderr


def test_a_checkout_that_was_moved_is_set_up_again(checkout: Checkout) -> None:
    """Scripts in a venv name their Python by its full path, so the old ones are of no use."""
    checkout.run("dev")
    moved = Checkout(checkout.root.rename(checkout.root.parent / "moved"), checkout.bin)

    done = moved.run("dev")

    assert done.returncode == 0
    assert "making .venv" in done.stderr
    assert moved.run("dev").stderr == ""


def test_it_works_from_anywhere_and_through_links(checkout: Checkout, tmp_path: Path) -> None:
    """The checkout is found from the script, not from the current directory."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far").symlink_to(checkout.root / "scripts" / "dev")
    (elsewhere / "near").symlink_to("far")
    checkout.run("dev")

    line = [str(elsewhere / "near"), "--reset"]
    done = subprocess.run(
        line,
        cwd=elsewhere,
        env={"PATH": str(checkout.bin)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "edgekeep dev --reset\n"
    assert done.stderr == ""


def test_without_a_python_that_is_new_enough_it_says_what_is_needed(checkout: Checkout) -> None:
    """Every candidate is run, none will do; how to name one is said."""
    done = checkout.run("dev", TOO_OLD="1")

    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "PYTHON=" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_without_venv_it_says_what_to_install(checkout: Checkout) -> None:
    """Debian keeps venv in a package of its own."""
    done = checkout.run("dev", NO_VENV="1")

    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_a_named_python_is_taken_first(checkout: Checkout) -> None:
    """PYTHON chooses."""
    other = checkout.bin / "mine"
    shutil.copy(checkout.bin / "python3", other)

    checkout.run("dev", PYTHON=str(other))

    assert checkout.notes.read_text().startswith(f"{other} ")


def test_a_lock_left_by_a_dead_process_is_taken_over(checkout: Checkout) -> None:
    """A setup that was killed does not lock the checkout for ever."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    (checkout.root / ".venv.lock").write_text(f"{gone.pid}\n")

    done = checkout.run("dev")

    assert done.returncode == 0
    assert not (checkout.root / ".venv.lock").exists()


def test_two_first_runs_at_once_set_up_once(checkout: Checkout) -> None:
    """The second waits for the first and finds everything done."""
    environment = {
        "PATH": str(checkout.bin),
        "NOTES": str(checkout.notes),
        "FAKE": str(checkout.bin / "python3"),
    }
    runs = [
        subprocess.Popen(
            [str(checkout.root / "scripts" / "dev")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [run.communicate(timeout=30) for run in runs]

    assert [run.returncode for run in runs] == [0, 0, 0]
    assert [out for out, _ in said] == ["edgekeep dev\n"] * 3
    assert sum("making .venv" in err for _, err in said) == 1


def test_scripts_test_hands_its_arguments_to_pytest(checkout: Checkout, tmp_path: Path) -> None:
    """From anywhere, pytest runs in the root, and names what was skipped."""
    checkout.run("dev")

    done = checkout.run("test", "-k", "two words", cwd=tmp_path)

    here, line = done.stdout.splitlines()
    assert here == f"pytest here: {checkout.root}"
    assert line == "pytest: -p tests.support.workers -n auto --durations=10 -rfEsxX -k two words"


def test_scripts_check_runs_all_and_names_what_failed(checkout: Checkout) -> None:
    """One failing check does not hide the others, and the code says there was one."""
    checkout.run("dev")
    for name, code in (("ruff", 0), ("mypy", 1), ("lint-imports", 0)):
        tool = checkout.root / ".venv" / "bin" / name
        tool.write_text(f"#!/bin/sh\necho ran {name} $*\nexit {code}\n")
        tool.chmod(0o755)

    done = checkout.run("check")

    assert done.returncode == 1
    assert "ran ruff format --check" in done.stdout
    assert "ran lint-imports" in done.stdout
    assert done.stdout.splitlines()[-1] == "FAILED: mypy"
    assert os.access(checkout.root / "scripts" / "check", os.X_OK)
