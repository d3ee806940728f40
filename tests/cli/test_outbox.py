"""`edgekeep mail`: the outbox of a host in development."""

import json
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import Edgekeep, running_server
from tests.support.waiting import PATIENCE


def test_an_empty_outbox_is_no_failure_to_list(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """`show` says that there is nothing, and fails."""
    listed = edgekeep("mail", "list", "--json", "--state", tmp_path)
    assert (listed.returncode, json.loads(listed.stdout)) == (0, [])
    shown = edgekeep("mail", "show", "--state", tmp_path)
    assert shown.returncode != 0
    assert "no mail" in shown.stderr


def test_mail_is_listed_and_read(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """The newest first; a link in one piece; a name that is none, or a path, finds nothing."""
    with running_server(tmp_path / "state") as server:
        for name in ("ada", "bob"):
            asked = urllib.request.Request(
                f"{server.url}/api/auth/magic-link",
                json.dumps({"email": f"{name}@example.org"}).encode(),
            )
            with urllib.request.urlopen(asked, timeout=10) as answer:
                assert answer.status == 202
        # The mail is written behind the answer.
        end = time.monotonic() + PATIENCE
        while len(list((tmp_path / "state" / "outbox").glob("[!.]*"))) < 2:
            assert time.monotonic() < end
            time.sleep(0.02)
    place = ("--state", tmp_path / "state")
    found = json.loads(edgekeep("mail", "list", "--json", *place).stdout)
    assert [mail["to"] for mail in found] == ["bob@example.org", "ada@example.org"]
    assert "bob@example.org" in edgekeep("mail", "list", *place).stdout
    newest = edgekeep("mail", "show", *place).stdout
    assert "To: bob@example.org" in newest
    assert f"{server.url}/api/auth/magic-link/verify?token=" in newest
    assert "To: ada@example.org" in edgekeep("mail", "show", found[1]["name"], *place).stdout
    for wrong in ("../host.json", "x.eml"):
        assert edgekeep("mail", "show", wrong, *place).returncode != 0


@pytest.mark.parametrize("again", [False, True])
def test_a_reset_empties_the_outbox(edgekeep: Edgekeep, tmp_path: Path, again: bool) -> None:
    """Mail is something stored."""
    outbox = tmp_path / "state" / "outbox"
    outbox.mkdir(parents=True)
    (outbox / "20261121T080000.000000Z-00000000.eml").write_text("Subject: x\n\ntext\n")
    with running_server(tmp_path / "state", *(["--reset"] if again else [])):
        pass
    assert outbox.exists() != again
