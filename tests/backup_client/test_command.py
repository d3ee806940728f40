"""`edgekeep backup` as a person uses it: two folders are two machines, against the real host."""

import asyncio
import json
import os
import pty
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from clients.python.backup.keys import FLOOR
from clients.python.backup.machine import Home
from tests.backup_client.conftest import account_token
from tests.cli.conftest import Run, command, environment, run_edgekeep
from tests.support.running_host import SECRETS, RunningHost

ACCOUNT = "0198c9d2-5a44-7cc1-9f0a-0d3d8f6d2a11"
PASSWORD = b"a password for tests\n"


@dataclass(slots=True)
class Terminal:
    """Somebody who types commands, signed in at *url*."""

    url: str
    token: str
    place: Path

    def words(self, *words: str, home: str = "a") -> list[str]:
        """Return the arguments of `edgekeep backup` with *words* on the machine *home*."""
        online = words[0] in ("push", "pull", "status", "verify", "delete", "avatar")
        where = ["--url", self.url] if online else []
        return ["backup", *words, "--home", str(self.place / home), *where]

    async def __call__(
        self, *words: str, home: str = "a", stdin: bytes = PASSWORD, **more: str
    ) -> Run:
        """Run it; the backup's password comes on stdin."""
        asked = ["--password-file", "-"] if words[0] in ("push", "pull", "verify") else []
        given = [*self.words(*words, home=home), *asked]
        variables = {"EDGEKEEP_TOKEN": self.token, **more}
        return await asyncio.to_thread(run_edgekeep, *given, stdin=stdin, **variables)


@pytest.fixture
async def say(host: RunningHost, tmp_path: Path) -> Terminal:
    """A terminal on this host."""
    return Terminal(host.url, await account_token(host, ACCOUNT), tmp_path)


def quick(folder: Path) -> None:
    """Spare the machine in *folder* its calibration."""
    home = Home(folder)
    machine = home.load()
    machine.cost = FLOOR
    home.save(machine)


async def test_two_machines_one_password(say: Terminal, tmp_path: Path) -> None:
    """The walk of docs/backup.md, with a calibration of its own, to the restored avatar."""
    fingerprint = (await say("init")).stdout
    assert (await say("contacts", "add", "mira", "--name", "Mira K.")).returncode == 0
    (tmp_path / "me.webp").write_bytes(b"a picture")
    assert (await say("avatar", "set", str(tmp_path / "me.webp"))).returncode == 0
    pushed = await say("push")
    assert pushed.returncode == 0, pushed.stderr
    assert "Stored as version 1" in pushed.stderr
    assert "Strength:" in pushed.stderr

    pulled = await say("pull", home="b")
    assert pulled.returncode == 0, pulled.stderr
    assert "This machine now has the identity of the backup." in pulled.stderr
    assert "1 added" in pulled.stderr
    listed = await say("contacts", "list", home="b")
    assert re.search(r"^mira +Mira K\.", listed.stdout, re.MULTILINE)
    verified = await say("verify", home="b")
    assert verified.returncode == 0
    assert fingerprint.strip() in verified.stdout
    fetched = await say("avatar", "fetch", str(tmp_path / "got.webp"), home="b")
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "got.webp").read_bytes() == b"a picture"
    assert "the one this machine knows" in (await say("status", home="b")).stdout


async def test_conflict_and_merge_as_they_are_shown(say: Terminal, tmp_path: Path) -> None:
    """Both machines change; the second push merges, and names what changed twice at once."""
    await say("init")
    quick(tmp_path / "a")
    await say("contacts", "add", "mira", "--name", "Mira")
    await say("push")
    await say("pull", home="b")
    quick(tmp_path / "b")
    for home, name in (("a", "One"), ("b", "T\x1b[31mwo")):
        await say("contacts", "add", "MIRA", "--name", name, home=home)
        path = tmp_path / home / "machine.json"
        told = json.loads(path.read_text())
        told["contacts"][0]["updated_at_ms"] = 2_000_000_000_000
        path.write_text(json.dumps(told))
    await say("contacts", "add", "noor", home="b")
    await say("push")
    merged = await say("push", home="b")

    assert merged.returncode == 0
    assert re.search(r"^conflict: mira changed twice at once; kept ", merged.stderr, re.MULTILINE)
    assert "\x1b" not in merged.stderr
    assert json.loads((await say("pull", "--json")).stdout)["version"] == 3
    both = [(await say("contacts", "list", "--json", home=home)).stdout for home in "ab"]
    assert both[0] == both[1]
    assert {one["id"] for one in json.loads(both[0])} == {"mira", "noor"}
    # What lies in the future can still be changed.
    await say("contacts", "add", "mira", "--name", "Three")
    await say("push")
    await say("pull", home="b")
    assert "Three" in (await say("contacts", "list", home="b")).stdout


async def test_refusals_have_their_codes(say: Terminal, tmp_path: Path) -> None:
    """Usage and weak passwords 2, no backup 1, wrong password and other identity 3."""
    assert (await say("push")).returncode == 2
    assert (await say("pull")).returncode == 1
    await say("init")
    quick(tmp_path / "a")
    assert (await say("init")).returncode == 2
    weak = await say("push", stdin=b"twelve chars")
    assert (weak.returncode, "13 characters" in weak.stderr) == (2, True)
    assert (await say("push", stdin=b"")).returncode == 2
    assert (await say("push")).returncode == 0
    wrong = await say("pull", stdin=b"not the password")
    assert (wrong.returncode, "password" in wrong.stderr) == (3, True)
    await say("init", home="c")
    other = await say("push", home="c")
    assert (other.returncode, "--take-remote-identity" in other.stderr) == (3, True)
    assert (await say("pull", "--take-remote-identity", home="c")).returncode == 0
    assert (await say("status", EDGEKEEP_TOKEN="nonsense")).returncode == 3
    assert (await say("status", EDGEKEEP_TOKEN="")).returncode == 2
    assert (await say("contacts", "remove", "nobody")).returncode == 1
    assert (await say("delete")).returncode == 2
    assert (await say("delete", "--yes")).returncode == 0
    assert (await say("delete", "--yes")).returncode == 1


async def test_the_password_is_never_an_argument(say: Terminal) -> None:
    """There is no option that takes it, and without a terminal nobody is asked in vain."""
    help_text = run_edgekeep("backup", "push", "--help").stdout
    done = run_edgekeep("backup", "push", "--password", "a password for tests")

    assert "--password-file" in help_text
    assert not re.search(r"--password[ =]", help_text)
    assert done.returncode == 2


async def test_the_password_can_come_from_a_variable_that_is_named(
    say: Terminal, tmp_path: Path
) -> None:
    """Only then: no variable is read unasked."""
    await say("init")
    quick(tmp_path / "a")
    words = [*say.words("push"), "--password-env", "SECRET_WORD"]
    signed_in = {"EDGEKEEP_TOKEN": say.token}
    unset = await asyncio.to_thread(run_edgekeep, *words, **signed_in)
    secret = {"SECRET_WORD": "a password for tests"}
    done = await asyncio.to_thread(run_edgekeep, *words, **signed_in, **secret)

    assert (unset.returncode, "SECRET_WORD" in unset.stderr) == (2, True)
    assert done.returncode == 0, done.stderr


def type_in(words: list[str], *lines: tuple[str, str], **variables: str) -> tuple[int, str]:
    """Run `edgekeep` on a terminal; type each line when its prompt appears."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*words),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(**variables),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        assert process.stderr is not None
        said = ""
        for prompt, line in lines:
            said += read_until(process.stderr, prompt)
            os.write(ours, f"{line}\n".encode())
        said += process.stderr.read().decode()
    os.close(ours)
    return process.returncode, said


def read_until(stream: IO[bytes], text: str) -> str:
    """Read *stream* until *text* has appeared or it ends."""
    said = b""
    while not said.endswith(text.encode()) and (byte := stream.read(1)):
        said += byte
    return said.decode()


async def test_a_person_is_asked_twice_and_told_how_strong(say: Terminal, tmp_path: Path) -> None:
    """A first push asks twice and accepts no typing slip; a later one asks once."""
    await say("init")
    quick(tmp_path / "a")
    first, again = "New backup password (13 characters or more): ", "The same again: "
    word, words = "a password for tests", say.words("push")
    signed_in = {"EDGEKEEP_TOKEN": say.token}
    slip = await asyncio.to_thread(
        lambda: type_in(words, (first, word), (again, "another word of mine"), **signed_in)
    )
    assert slip[0] == 2
    assert "differ" in slip[1]
    done = await asyncio.to_thread(
        lambda: type_in(words, (first, word), (again, word), **signed_in)
    )
    later = await asyncio.to_thread(
        lambda: type_in(words, ("Backup password: ", word), **signed_in)
    )

    assert done[0] == later[0] == 0
    assert "Strength: " in done[1]
    assert "Nothing new" in later[1]
    assert word not in slip[1] + done[1] + later[1]


async def test_signing_in_brings_a_token_of_the_backup(host: RunningHost, say: Terminal) -> None:
    """--username signs in at /v1/sessions; a wrong account password is a refusal."""
    account = {"username": "mira", "password": "the account's password"}
    assert (await host.ask("POST", "/v1/users", json=account)).status == 201
    words = [*say.words("status"), "--username", "mira"]

    async def signing_in(password: str) -> Run:
        return await asyncio.to_thread(run_edgekeep, *words, EDGEKEEP_ACCOUNT_PASSWORD=password)

    done, wrong = await signing_in("the account's password"), await signing_in("not this one")
    assert (done.returncode, "no backup" in done.stdout) == (0, True), done.stderr
    assert wrong.returncode == 3


async def test_a_development_server_needs_no_sign_in(host: RunningHost, say: Terminal) -> None:
    """--account makes a token with the keys of this machine's server, never in production."""
    words = [*say.words("status"), "--account", ACCOUNT, "--state", str(say.place / "keys")]
    made = await asyncio.to_thread(run_edgekeep, *words, **SECRETS)
    refused = await asyncio.to_thread(run_edgekeep, *words, **SECRETS, ENVIRONMENT="production")

    assert (made.returncode, "no backup" in made.stdout) == (0, True), made.stderr
    assert refused.returncode == 2
