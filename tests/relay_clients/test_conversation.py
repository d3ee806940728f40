"""
Two real clients of libsignal that have never met talk through the relay, one of them mostly away.

The conversation itself is node/conversation.mjs, which asserts what each side reads; here is the
server, and the proof that it cannot read along.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.edge.toolchain import install
from tests.support.running_host import RunningHost

NODE = Path(__file__).parent / "node"
SECONDS = 60
# Begins every text of the conversation.
MARKER = b"MARKER-OF-A-PLAINTEXT"


@pytest.fixture(scope="module")
def node() -> None:
    """Node with Signal's library; where it cannot be had, the test says what was not proven."""
    tool = next((name for name in ("node", "npm") if shutil.which(name) is None), None)
    if tool is not None:
        text = f"NOT PROVEN: no libsignal clients talked, because {tool} is not installed"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    install(NODE)


def forms(secret: bytes) -> Iterator[bytes]:
    """Yield how *secret* could be written in a store."""
    yield secret
    yield secret.hex().encode()
    # Inside of longer base64 at any of three places: its middle is the same.
    for shift in range(3):
        yield b64encode(b"\0" * shift + secret)[4:-4]


def found_in(folder: Path, secrets: list[bytes]) -> list[str]:
    """Return the files below *folder* that hold one of *secrets* in some form."""
    looked_for = [form for secret in secrets for form in forms(secret)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    read = {path: path.read_bytes() for path in files}
    return [str(path) for path, data in read.items() if any(one in data for one in looked_for)]


async def test_two_clients_that_have_never_met_talk(
    node: None, host: RunningHost, tmp_path: Path
) -> None:
    """Every text arrives as it was written; no store or log ever holds one, nor a secret key."""
    talk = await asyncio.create_subprocess_exec(
        "node",
        str(NODE / "conversation.mjs"),
        host.url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert talk.stdin is not None
    assert talk.stdout is not None
    assert talk.stderr is not None
    secrets, looks, transcript = [MARKER], 0, []
    try:
        async with asyncio.timeout(SECONDS):
            async for line in talk.stdout:
                text = line.decode().rstrip("\n")
                if text.startswith("# secret "):
                    secrets.append(b64decode(text.split(" ")[2]))
                elif text == "# look":
                    looks += 1
                    # Another process copies: closing a database file here would drop its locks.
                    copy = tmp_path / f"copy{looks}"
                    subprocess.run(["cp", "-r", tmp_path / "state", copy], check=True)
                    assert found_in(copy, secrets) == []
                    talk.stdin.write(b"on\n")
                else:
                    transcript.append(text)
            errors = (await talk.stderr.read()).decode()
            code = await talk.wait()
    finally:
        if talk.returncode is None:
            talk.kill()
            await talk.wait()
    print("\n".join(transcript), file=sys.stderr)
    assert code == 0, errors
    assert (looks, transcript[-1].strip()) == (2, "done")
    host.env.log.flush()
    log = "".join(host.log)
    assert len(secrets) > 20
    written = [form for one in secrets for form in forms(one)]
    assert not [form for form in written if form.decode("latin-1") in log]


async def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """The proof above would notice a store that holds a text or a key in any of the forms."""
    secret = bytes(range(32))
    for number, form in enumerate((secret, secret.hex().encode(), b64encode(b"ab" + secret))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "store").write_bytes(b"before" + form + b"after")
        assert found_in(folder, [secret])
    assert not found_in(tmp_path, [b"another secret that is not there"])
