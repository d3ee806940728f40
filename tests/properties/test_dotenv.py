"""`.dev.vars` is read as npm's dotenv reads it, which is what wrangler asks: it is the referee."""

import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.edge.toolchain import install
from worker.entry.dev_vars import read_dev_vars

NODE = Path(__file__).parent / "node"
# What decides how a line is read, and the characters that two languages see differently.
PIECES = st.sampled_from(
    [
        *("'\"`#=:\\ \t\n\r.-_"),
        *("\r\n", "\\n", "\\r", "export ", "KEY", "a", "7", "KEY=", "B: ", "# x\n"),
        *("\ufeff", "\x0b", "\x0c", "\x1c", "\x85", "\u00a0", "\u2028", "\u2029", "\u3000"),
        *("é", "\u0130", "__proto__=", "'Tis", '="', "=`", "='a'", '\\"', "\\'", "\0"),
    ]
)
TEXTS = st.lists(PIECES, max_size=25).map("".join)


class Referee:
    """dotenv in a process of Node."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(NODE / "parse.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def parse(self, data: bytes) -> dict[str, str]:
        """Return what dotenv makes of *data*."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b64encode(data) + b"\n")
        self._process.stdin.flush()
        found: dict[str, str] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    """The original; without Node the test skips at home and fails in CI."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        reason = "NOT PROVEN: .dev.vars as dotenv reads it, because Node is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    install(NODE)
    running = Referee()
    yield running
    running.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the file is written."""
    return tmp_path_factory.mktemp("dotenv") / ".dev.vars"


@given(TEXTS)
def test_every_text_is_read_alike(referee: Referee, path: Path, text: str) -> None:
    """Quotes that end, that do not, that end lines later; remarks, blanks and ends of lines."""
    path.write_bytes(text.encode())
    assert read_dev_vars(path) == referee.parse(text.encode())


@given(st.binary(max_size=40))
def test_bytes_that_are_no_text_are_read_alike(referee: Referee, path: Path, data: bytes) -> None:
    """As by Node, with U+FFFD for what is not UTF-8."""
    path.write_bytes(b"KEY=" + data)
    assert read_dev_vars(path) == referee.parse(b"KEY=" + data)
