"""What docs/accounts.md shows is run: from registration to sign-out everywhere, with curl."""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from scripts.cli.main import make_parser
from tests.house.sources import ROOT
from tests.support.child_host import child_host

# Writes the status of each request to stderr; what the page shows goes to stdout as for a person.
_WRAPPER = """#!/bin/sh
exec {curl} -w '\\n%{{stderr}}%{{http_code}}\\n' "$@"
"""


def walk() -> str:
    """Return the shell lines of the page."""
    page = (ROOT / "docs" / "accounts.md").read_text(encoding="utf-8")
    found = re.search(r"## From registration to sign-out\n\n```sh\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def test_commands_of_the_page_can_be_parsed() -> None:
    """Verbs and options that the page shows exist."""
    page = (ROOT / "docs" / "accounts.md").read_text(encoding="utf-8")
    shown = re.findall(r"^(?:SIGN\S+ )?edgekeep ([^#|\n]+)", page, re.MULTILINE)
    assert len(shown) > 8
    for words in map(str.split, shown):
        make_parser(words).parse_args(words)


@pytest.fixture
def curl() -> str:
    """The path of curl."""
    found = shutil.which("curl")
    if found is None:
        if "CI" in os.environ:
            pytest.fail("curl is missing")
        pytest.skip("curl is missing")
    return found


async def test_the_walk_does_what_it_says(tmp_path: Path, curl: str) -> None:
    """Every request has the status that the line above it names; the list shows both devices."""
    wrapper = tmp_path / "curl"
    wrapper.write_text(_WRAPPER.format(curl=curl))
    wrapper.chmod(0o755)
    async with child_host(tmp_path / "state") as host:
        lines = walk().replace("http://127.0.0.1:8788", f"http://127.0.0.1:{host.port}")
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-eu", "-c", lines),
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await shell.communicate()

    assert shell.returncode == 0, err
    told = re.findall(r"^# (\d{3}) ", lines, re.MULTILINE)
    assert len(told) == lines.count("curl -s")
    assert err.decode().split() == told
    answers = [json.loads(line) for line in out.decode().splitlines() if line]
    [listed] = [answer["items"] for answer in answers if "items" in answer]
    assert [(one["label"], one["current"]) for one in listed] == [
        ("laptop", True),
        ("phone", False),
    ]
    assert answers[0]["username"] == "ada"
    problems = [answer["error"] for answer in answers if "error" in answer]
    assert problems == ["unauthorized"] * told.count("401")
