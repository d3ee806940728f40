"""`edgekeep import`: what arrives, what is said, and the exit code."""

import contextlib
import gzip
import json
import os
import pty
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from tests.cli.conftest import (
    Edgekeep,
    Server,
    command,
    environment,
    profile_lines,
    wait_until,
)

BROKEN = '{"schema_version": "user_profile.v1", "profile_id": "nobody"}\n'


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file of 50 valid lines."""
    path = tmp_path / "good.ndjson"
    path.write_text(profile_lines(0, 50))
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A file of 10 valid lines with a broken one in fifth place."""
    path = tmp_path / "mixed.ndjson"
    path.write_text(profile_lines(0, 4) + BROKEN + profile_lines(4, 6))
    return path


def test_a_good_file_is_stored_whole(edgekeep: Edgekeep, server: Server, good: Path) -> None:
    """Code 0, the count and the report on stdout, plain progress on stderr."""
    done = edgekeep("import", good, "--state", server.state)

    assert done.returncode == 0
    assert "50 lines: 50 profiles stored, 0 lines refused." in done.stdout
    assert "Report: edgekeep report imp_" in done.stdout
    assert done.stderr == f"importing {good} ({good.stat().st_size:,} bytes) …\n"


def test_refused_lines_are_shown_in_a_table(
    edgekeep: Edgekeep, server: Server, mixed: Path
) -> None:
    """Code 1; each error with its line, JSON path and a text for a person."""
    done = edgekeep("import", mixed, "--state", server.state)

    assert done.returncode == 1
    assert "11 lines: 10 profiles stored, 1 lines refused." in done.stdout
    rows = [line.split(None, 2) for line in done.stdout.splitlines() if line.startswith("   5")]
    assert ["5", "$.profile", "profile is missing"] in rows


def test_the_report_is_found_again(edgekeep: Edgekeep, server: Server, mixed: Path) -> None:
    """`edgekeep report ID` shows the same lines."""
    answer = json.loads(edgekeep("import", mixed, "--json", "--state", server.state).stdout)

    done = edgekeep("report", answer["import_id"], "--state", server.state)

    assert answer["status"] == 207
    assert done.returncode == 0
    assert f"{answer['import_id']}: done, partial mode" in done.stdout
    assert "profile is missing" in done.stdout


def test_atomic_stores_nothing_when_a_line_is_broken(
    edgekeep: Edgekeep, server: Server, tmp_path: Path
) -> None:
    """Code 3, and not one of its profiles is there."""
    path = tmp_path / "mixed.ndjson"
    path.write_text(profile_lines(900, 5) + BROKEN)

    done = edgekeep("import", path, "--mode", "atomic", "--state", server.state)

    assert done.returncode == 3
    assert "0 profiles stored" in done.stdout
    assert "In atomic mode one invalid line refuses the whole import" in done.stderr
    assert edgekeep("profiles", "get", "usr_demo00000900", "--state", server.state).returncode == 1


def test_gzip_and_stdin_are_understood(edgekeep: Edgekeep, server: Server, tmp_path: Path) -> None:
    """A compressed file and a compressed stream are imported like plain ones."""
    packed = gzip.compress(profile_lines(100, 30).encode())
    path = tmp_path / "any name"
    path.write_bytes(packed)

    from_file = edgekeep("import", path, "--state", server.state)
    from_stream = edgekeep("import", "-", "--state", server.state, stdin=packed)

    assert from_file.returncode == from_stream.returncode == 0
    assert "30 profiles stored" in from_file.stdout
    assert "30 profiles stored" in from_stream.stdout


def test_repeated_ids_are_explained(edgekeep: Edgekeep, server: Server, good: Path) -> None:
    """Fewer profiles than lines is no riddle."""
    good.write_text(profile_lines(0, 5) * 2)

    done = edgekeep("import", good, "--state", server.state)

    assert done.returncode == 0
    assert "10 lines: 5 profiles stored" in done.stdout
    assert "5 lines repeated a profile_id (the last one counts)" in done.stdout


def test_importing_again_stores_again(edgekeep: Edgekeep, server: Server, good: Path) -> None:
    """Without a key nothing is answered from memory."""
    edgekeep("import", good, "--state", server.state)

    assert "earlier import" not in edgekeep("import", good, "--state", server.state).stdout


def test_key_auto_answers_a_repetition_from_memory(
    edgekeep: Edgekeep, server: Server, good: Path
) -> None:
    """The same file has the same key; the second run says whose answer it shows."""
    first = edgekeep("import", good, "--key", "auto", "--state", server.state)

    second = edgekeep("import", good, "--key", "auto", "--state", server.state)

    assert second.returncode == 0
    assert "the answer of an earlier import" in second.stdout
    assert first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]


def test_a_key_for_another_file_is_refused(
    edgekeep: Edgekeep, server: Server, good: Path, mixed: Path
) -> None:
    """Code 3 when a key comes with a body it was not made for."""
    edgekeep("import", good, "--key", "monday", "--state", server.state)

    done = edgekeep("import", mixed, "--key", "monday", "--state", server.state)

    assert done.returncode == 3
    assert "This key was used with another body" in done.stderr


def test_the_checksum_goes_with_the_file(edgekeep: Edgekeep, server: Server, good: Path) -> None:
    """--checksum sends the digest that the server then finds right."""
    done = edgekeep("import", good, "--checksum", "--json", "--state", server.state)

    assert len(json.loads(done.stdout)["checksum_sha256"]) == 64


def test_what_needs_a_file_is_refused_for_a_stream(edgekeep: Edgekeep, server: Server) -> None:
    """A digest cannot be made of a stream before it is sent."""
    done = edgekeep("import", "-", "--key", "auto", "--state", server.state, stdin=b"{}\n")

    assert done.returncode == 2
    assert "a stream cannot be read twice" in done.stderr


def test_an_empty_body_stores_nothing(edgekeep: Edgekeep, server: Server) -> None:
    """Code 3 and the reason."""
    done = edgekeep("import", "-", "--state", server.state)

    assert done.returncode == 3
    assert "The body holds no line" in done.stderr


def test_a_server_that_is_not_there_is_code_4(edgekeep: Edgekeep, good: Path) -> None:
    """One sentence says where it looked and how to start one; nothing is tried again."""
    done = edgekeep("import", good, "--url", "http://127.0.0.1:9", "--token", "t")

    assert done.returncode == 4
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr
    assert "edgekeep dev" in done.stderr


def test_a_file_that_is_not_there_is_code_2(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """The file is named."""
    done = edgekeep("import", tmp_path / "absent.ndjson")

    assert done.returncode == 2
    assert "absent.ndjson cannot be read: No such file" in done.stderr


def test_a_bad_token_is_code_3_and_not_shown(
    edgekeep: Edgekeep, server: Server, good: Path
) -> None:
    """The server's reason is passed on, the token is not."""
    done = edgekeep("import", good, "--token", "s3cret", "--state", server.state)

    assert done.returncode == 3
    assert "HTTP 401" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_server_elsewhere_gets_no_development_token(
    edgekeep: Edgekeep, good: Path, tmp_path: Path
) -> None:
    """Tokens are made for this machine only: no secrets come into being for another host."""
    done = edgekeep(
        "import", good, "--url", "http://edgekeep.invalid:1", "--state", tmp_path / "state"
    )

    assert done.returncode == 4
    assert not (tmp_path / "state").exists()


class Slow:
    """An import from a pipe that stays open after its first lines."""

    def __init__(self, server: Server, *words: str) -> None:
        reading, self._writing = os.pipe()
        self.process = subprocess.Popen(
            command("import", "-", "--state", server.state, *words),
            stdin=reading,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        os.close(reading)

    def feed(self, lines: str) -> None:
        """Write *lines* into the pipe, without an end."""
        left = lines.encode()
        while left:
            left = left[os.write(self._writing, left) :]

    def close(self) -> None:
        """End the stream."""
        os.close(self._writing)

    def end(self) -> tuple[int, str]:
        """Wait for the process; return its code and what it said on stderr."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def stored(edgekeep: Edgekeep, server: Server) -> int:
    """Return the number of profiles on the server."""
    return int(edgekeep("profiles", "count", "--state", server.state).stdout)


def test_ctrl_c_says_what_was_stored_and_how_to_go_on(
    edgekeep: Edgekeep, own_server: Server
) -> None:
    """Code 130, the connection is cut, and the server's own count is told."""
    slow = Slow(own_server)
    slow.feed(profile_lines(0, 3000))
    wait_until(lambda: stored(edgekeep, own_server) > 0)

    slow.process.send_signal(signal.SIGINT)
    code, said = slow.end()
    slow.close()

    assert code == 130
    assert "Stopped; the connection is closed." in said
    assert "profiles (failed)." in said
    assert "Run the same command again to complete it" in said


def test_a_server_that_dies_in_the_middle_is_code_4(edgekeep: Edgekeep, own_server: Server) -> None:
    """The break is said in one sentence, with what to do."""
    slow = Slow(own_server)
    slow.feed(profile_lines(0, 3000))
    wait_until(lambda: stored(edgekeep, own_server) > 0)

    own_server.process.kill()
    code, said = slow.end()
    slow.close()

    assert code == 4
    assert "broke" in said
    assert "Run the same command again to complete it" in said
    assert "Traceback" not in said


def test_a_key_in_use_is_waited_for(edgekeep: Edgekeep, own_server: Server, good: Path) -> None:
    """While the first import with a key runs, the second waits; then it gets the answer of it."""
    first = Slow(own_server, "--key", "monday")
    first.feed(good.read_text())
    wait_until(lambda: len(list((own_server.state / "durable").glob("Idem*/*/*.sqlite"))) > 0)
    second = subprocess.Popen(
        command("import", good, "--key", "monday", "--state", own_server.state),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert second.stderr is not None
    said = [second.stderr.readline(), second.stderr.readline()]
    first.close()

    shown, _ = second.communicate(timeout=60)

    assert said[1] == "The same import is still running; trying again in 1 s.\n"
    assert first.end()[0] == second.returncode == 0
    assert "the answer of an earlier import" in shown


def test_on_a_terminal_there_is_a_bar(server: Server, good: Path) -> None:
    """With stderr on a terminal the bytes are shown as a bar, up to the last of them."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    done = subprocess.run(
        command("import", good, "--state", server.state),
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(),
        text=True,
        check=True,
    )
    os.close(theirs)
    shown = b""
    # A terminal whose other end is closed answers with an error once it is empty.
    with contextlib.suppress(OSError):
        while block := os.read(ours, 65536):
            shown += block
    os.close(ours)

    assert b"100%" in shown
    assert b"importing" not in shown
    assert "50 profiles stored" in done.stdout
