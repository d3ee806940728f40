"""`edgekeep sample` and `edgekeep docs`: files that this command makes."""

import json
from pathlib import Path

from d1_schema.schemas import load_schema
from scripts.cli.sample import demo_profile
from tests.cli.conftest import Edgekeep
from worker.entry.native_schema import NativeCheck


def test_every_demo_profile_is_valid() -> None:
    """The schema accepts each, formats included."""
    check = NativeCheck(load_schema("user_profile.v1"))

    refused = [number for number in range(2000) if not check.accepts(demo_profile(number))]

    assert refused == []


def test_the_age_of_a_demo_profile_is_that_of_its_birthday() -> None:
    """On the day the file is made for, nobody is younger or older than they say."""
    for number in range(500):
        identity = demo_profile(number)["profile"]["identity"]
        year, month, day = map(int, identity["birthday"].split("-"))
        assert identity["age"] == 2026 - year - ((month, day) > (11, 1))


def test_the_file_is_the_same_every_time(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """stdout and file, today and tomorrow, hold the same bytes."""
    edgekeep("sample", "--count", "50", "--bad", "3", "-o", tmp_path / "demo.ndjson")

    again = edgekeep("sample", "--count", "50", "--bad", "3").stdout

    assert (tmp_path / "demo.ndjson").read_text() == again
    assert [each.name for each in tmp_path.iterdir()] == ["demo.ndjson"]


def test_broken_lines_are_sprinkled_among_the_good_ones(edgekeep: Edgekeep) -> None:
    """As many as asked for, spread evenly, and a good line comes first."""
    check = NativeCheck(load_schema("user_profile.v1"))
    lines = edgekeep("sample", "--count", "50", "--bad", "3").stdout.splitlines()

    bad = [number for number, line in enumerate(lines) if not good(check, line)]

    assert len(lines) == 53
    assert bad == [13, 27, 41]


def good(check: NativeCheck, line: str) -> bool:
    """Whether *line* is a valid profile."""
    try:
        return check.accepts(json.loads(line))
    except ValueError:
        return False


def test_counts_may_be_nothing_or_more_bad_than_good(edgekeep: Edgekeep) -> None:
    """The edges: no line at all, only broken ones, more broken than good."""
    assert edgekeep("sample", "--count", "0").stdout == ""
    assert edgekeep("sample", "--count", "0", "--bad", "2").stdout.count("\n") == 2
    assert edgekeep("sample", "--count", "2", "--bad", "5").stdout.count("\n") == 7


def test_a_place_that_cannot_be_written_is_a_sentence(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """A folder that does not exist is named."""
    done = edgekeep("sample", "-o", tmp_path / "nowhere" / "demo.ndjson")

    assert done.returncode == 2
    assert "cannot be written: No such file" in done.stderr


def test_the_generated_pages_are_current(edgekeep: Edgekeep) -> None:
    """`edgekeep docs --check` agrees with the pages in the repository."""
    assert edgekeep("docs", "--check").returncode == 0
