"""How the command explains itself, and how it fails."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cli.main import _VERBS, make_parser
from scripts.cli.outcome import table
from scripts.cli.server import said
from tests.cli.conftest import EDGEKEEP, ROOT, Edgekeep

HEAVY = (
    "aiohttp",
    "asyncio",
    "tqdm",
    "worker",
    "kv",
    "apsw",
    "jsonschema",
    "importlib.metadata",
)


def leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of all verbs below *parser*."""
    # argparse tells its verbs to nobody.
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return [leaf for child in action.choices.values() for leaf in leaves(child)]
    return [parser]


def test_help_lists_the_verbs_and_the_exit_codes(edgekeep: Edgekeep) -> None:
    """The first page tells what there is, with examples and what the codes mean."""
    done = edgekeep("--help")

    assert done.returncode == 0
    for verb in ("dev", "import", "export", "profiles", "token", "kv", "d1", "r2", "cron"):
        assert re.search(rf"^    {verb} ", done.stdout, re.MULTILINE), verb
    assert "edgekeep import demo.ndjson" in done.stdout
    assert re.search(r"^  130  stopped by Ctrl-C", done.stdout, re.MULTILINE)


def test_every_verb_explains_itself_with_two_examples() -> None:
    """Each verb has a sentence, and two commands that begin as one would type them."""
    for parser in leaves(make_parser(_VERBS)):
        assert parser.description, parser.prog
        examples = (parser.epilog or "").removeprefix("examples:\n").splitlines()
        assert len(examples) == 2, parser.prog
        assert all(parser.prog in example for example in examples), parser.prog


def test_every_example_can_be_parsed() -> None:
    """The examples use verbs and options that exist."""
    import shlex

    for leaf in leaves(make_parser(_VERBS)):
        for example in (leaf.epilog or "").removeprefix("examples:\n").splitlines():
            for part in re.split(r" [|>] ?", example.strip()):
                words = shlex.split(part)
                if words[0] == "edgekeep":
                    make_parser(words[1:]).parse_args(words[1:])


def test_help_loads_nothing_heavy() -> None:
    """Only the verb that is asked for is loaded, and what it needs only when it runs."""
    code = (
        "import sys\nfrom scripts.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_that_of_the_project(edgekeep: Edgekeep) -> None:
    """`edgekeep version` says what pyproject.toml says."""
    import tomllib

    expected = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert edgekeep("version").stdout == f"edgekeep {expected}\n"


@pytest.mark.parametrize("words", [(), ("nonsense",), ("import",), ("kv", "key"), ("token",)])
def test_wrong_usage_is_code_2(edgekeep: Edgekeep, words: tuple[str, ...]) -> None:
    """A missing or unknown word is said on stderr."""
    done = edgekeep(*words)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage: edgekeep" in done.stderr


def test_a_broken_configuration_is_one_sentence(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """No trace, the file and the line, code 2."""
    config = tmp_path / "wrangler_compat.toml"
    config.write_text("name = \n")

    done = edgekeep("cron", "list", "--config", config)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "line 1" in done.stderr
    assert str(config) in done.stderr


def test_debug_shows_the_trace(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """With --debug, anywhere in the line, the failure shows where it happened."""
    done = edgekeep("cron", "list", "--debug", "--config", tmp_path / "absent.toml")

    assert "Traceback" in done.stderr
    assert "ConfigError" in done.stderr


def test_the_configuration_of_this_directory_comes_first(
    edgekeep: Edgekeep, tmp_path: Path
) -> None:
    """Without --config the file here is read; without one here, that of the checkout."""
    empty = edgekeep("kv", "namespace", "list", cwd=tmp_path)
    (tmp_path / "wrangler_compat.toml").write_text(
        'name = "other"\n[[kv_namespaces]]\nbinding = "OTHER"\nid = "x"\n'
    )
    other = edgekeep("kv", "namespace", "list", cwd=tmp_path)

    assert empty.stdout.startswith("PROFILES_KV")
    assert other.stdout == "OTHER  (id x)\n"


def test_a_reader_that_goes_away_is_no_failure_to_talk_about(tmp_path: Path) -> None:
    """`edgekeep sample | head -1` ends quietly."""
    line = f"'{EDGEKEEP}' sample --count 5000 | head -1"

    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_refusal_and_a_failure_of_the_server_have_different_codes() -> None:
    """4xx is about what was asked (code 3), 5xx about the server (code 4, with its id)."""
    refused = said(422, {"title": "Nothing was imported", "detail": "The body holds no line."})
    failed = said(500, {"title": "Something went wrong on our side", "request_id": "ab-1"})

    assert (refused.code, failed.code) == (3, 4)
    assert str(refused) == "Nothing was imported: The body holds no line (HTTP 422)."
    assert "request ab-1" in str(failed)


def test_columns_of_numbers_are_set_to_the_right() -> None:
    """A table lines numbers up at their end and texts at their beginning."""
    laid = table([("7", "$.a", "x"), ("1,100", "$", "y")], ("line", "path", "message"))

    assert laid == " line  path  message\n    7  $.a   x\n1,100  $     y"
