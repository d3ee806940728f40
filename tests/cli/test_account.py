"""`edgekeep account …`: beside a running host and without one, for people and for scripts."""

import contextlib
import json
import os
import pty
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from scripts.cli.account import ROLES
from tests.cli.conftest import Server, command, environment, wait_until
from tests.support.verbs import edgekeep
from worker.accounts import model
from worker.identity.access import RELOAD_SECONDS

PASSWORD = "tangerine velocity 9"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A state with the account ada."""
    state = tmp_path / "state"
    done = create(state, "Ada")
    assert done.returncode == 0, done.stderr
    return state


def create(state: Path, name: str, *more: str, password: str = PASSWORD) -> Any:
    """Make an account; its password comes on stdin."""
    words = ("account", "create", name, "--password-file", "-", *more, "--state", state)
    return edgekeep(*words, stdin=f"{password}\n".encode())


def shown(state: Path, who: str = "ada") -> Any:
    """Return what `account show --json` tells."""
    done = edgekeep("account", "show", who, "--json", "--state", state)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(
    server: Server, method: str, path: str, body: Any = None, token: str = ""
) -> tuple[int, Any]:
    """Ask a door of a running server; return status and JSON."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(server.url + path, data, headers, method=method)) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        return error.code, json.loads(error.read())


def sign_in(server: Server, name: str = "ada") -> tuple[int, Any]:
    """Sign in at a running server."""
    return ask(server, "POST", "/v1/sessions", {"username": name, "password": PASSWORD})


def is_in(server: Server, token: str) -> bool:
    """Whether *token* opens a door for people."""
    return ask(server, "GET", "/api/auth/session", token=token)[0] == 200


def test_an_account_is_made_listed_and_shown(made: Path) -> None:
    """By any spelling of its name and by its id; the state is private, the password nowhere."""
    listed = edgekeep("account", "list", "--state", made)
    account = shown(made, "ADA")

    assert listed.stdout.splitlines()[1].split()[:3] == ["ada", "owner", "open"]
    assert (account["username"], account["role"], account["disabled_at"]) == ("ada", "owner", None)
    assert (account["identities"], account["sessions"]) == (["password"], [])
    assert shown(made, account["id"].upper()) == account
    everything = json.loads(edgekeep("account", "list", "--json", "--state", made).stdout)
    assert [one["id"] for one in everything] == [account["id"]]
    assert made.stat().st_mode & 0o777 == 0o700
    assert "$argon2" not in json.dumps([everything, account])


def test_create_says_what_it_made(made: Path) -> None:
    """For scripts as JSON, with the role that was asked for."""
    done = create(made, "bob", "--role", "admin", "--json")

    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["username"], told["role"]) == ("bob", "admin")
    assert shown(made, told["id"])["role"] == "admin"


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("ADA", PASSWORD, "taken"),
        ("аda", PASSWORD, "a to z"),
        ("bob", "short", "at least 12"),
        ("bob", "password1234", "guessed first"),
        ("bob", "", "at least 12"),
    ],
)
def test_the_rules_are_those_of_the_door(made: Path, name: str, password: str, says: str) -> None:
    """Code 3, one sentence, nothing made; the password is not repeated."""
    done = create(made, name, password=password)

    assert done.returncode == 3
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not password or password not in done.stderr
    assert len(json.loads(edgekeep("account", "list", "--json", "--state", made).stdout)) == 1


def test_a_password_is_asked_for_twice_and_does_not_show(made: Path) -> None:
    """On a terminal; two different ones make nothing."""
    for second, code in (("something else 7", 2), (PASSWORD, 0)):
        pid, terminal = pty.fork()
        if pid == 0:
            words = command("account", "create", "carol", "--state", made)
            os.execve(words[0], words, environment())
        said = b""
        for asked, answer in ((b"or more): ", PASSWORD), (b"again: ", second)):
            while not said.endswith(asked):
                said += os.read(terminal, 4096)
            os.write(terminal, f"{answer}\n".encode())
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 4096):
                said += piece
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        assert os.waitstatus_to_exitcode(status) == code, said
        assert PASSWORD.encode() not in said


def test_without_a_terminal_a_password_needs_a_file(made: Path) -> None:
    """Code 2 and how; there is no option that takes a password."""
    done = edgekeep("account", "create", "bob", "--state", made)

    assert done.returncode == 2
    assert "--password-file" in done.stderr
    assert edgekeep("account", "create", "bob", "--password", "x", "--state", made).returncode == 2


@pytest.mark.parametrize("verb", ["show", "role", "disable", "enable", "revoke"])
def test_nobody_of_that_name_is_code_1(made: Path, verb: str) -> None:
    """Also for a text that can be no name and for an id of nobody."""
    for who in ("nobody", "not a name", "01a1fee3-b327-703c-acb5-4dca491d7237"):
        more = ["admin"] if verb == "role" else []
        done = edgekeep("account", verb, who, *more, "--state", made)
        assert (done.returncode, done.stdout) == (1, "")
        assert "no account" in done.stderr


def test_roles_are_those_of_the_code() -> None:
    """The words of the help are the ones that the table of accounts takes."""
    assert ROLES == model.ROLES


def test_without_a_host_changes_hold_for_the_next_one(made: Path) -> None:
    """Role, closing and opening on the state itself; nothing is said of a host."""
    for verb, more, seen in (
        ("role", ["admin"], ("admin", False)),
        ("disable", [], ("admin", True)),
        ("disable", [], ("admin", True)),
        ("enable", [], ("admin", False)),
    ):
        done = edgekeep("account", verb, "ada", *more, "--state", made)
        assert (done.returncode, done.stderr) == (0, "")
        account = shown(made)
        assert (account["role"], account["disabled_at"] is not None) == seen


def test_a_running_host_notices_within_seconds(own_server: Server) -> None:
    """Revoked, demoted and disabled: tokens that worked end in the time that the verb names."""
    server, state = own_server, own_server.state
    changes = {"ada": ["revoke", "ada"], "bob": ["role", "bob", "owner"], "eve": ["disable", "eve"]}
    grants = {}
    for name in changes:
        assert create(state, name, "--role", "admin").returncode == 0
        status, grants[name] = sign_in(server, name)
        assert status == 200
        assert is_in(server, grants[name]["token"])

    for name, words in changes.items():
        done = edgekeep("account", *words, "--state", state)
        assert f"within {RELOAD_SECONDS} seconds" in done.stderr
        spent = {"refresh_token": grants[name]["refresh_token"]}
        assert ask(server, "POST", "/v1/sessions/refresh", spent)[0] == 401
    began = time.monotonic()
    wait_until(lambda: not any(is_in(server, grant["token"]) for grant in grants.values()))

    assert time.monotonic() - began < 4 * RELOAD_SECONDS  # the machine may be busy
    assert [sign_in(server, name)[0] for name in changes] == [200, 200, 401]
    assert edgekeep("account", "enable", "eve", "--state", state).returncode == 0
    assert sign_in(server, "eve")[0] == 200


def test_one_session_is_ended_by_its_id(own_server: Server) -> None:
    """The others go on; what a program calls itself does not steer the terminal."""
    server, state = own_server, own_server.state
    create(state, "ada")
    body = {"username": "ada", "password": PASSWORD, "label": "\u202egnp.exe\u2066"}
    _, lost = ask(server, "POST", "/v1/sessions", body)
    _, kept = sign_in(server)

    listed = edgekeep("account", "show", "ada", "--state", state).stdout
    assert lost["session_id"] in listed
    assert "\u202e" not in listed
    assert "gnp.exe" in listed
    words = ("account", "revoke", "ada", "--session")
    assert edgekeep(*words, "nonsense", "--state", state).returncode == 1
    assert edgekeep(*words, lost["session_id"], "--state", state).returncode == 0

    sessions = shown(state)["sessions"]
    assert [one["id"] for one in sessions] == [kept["session_id"]]
    refreshed = {"refresh_token": kept["refresh_token"]}
    assert ask(server, "POST", "/v1/sessions/refresh", refreshed)[0] == 200


def test_of_two_at_the_same_moment_one_makes_the_name(made: Path) -> None:
    """Two processes, one database: one account, the other is told that it is taken."""
    words = command("account", "create", "dave", "--password-file", "-", "--state", made)
    racers = [
        subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        for _ in range(2)
    ]
    for one in racers:
        assert one.stdin is not None
        one.stdin.write(PASSWORD.encode())
        one.stdin.close()
        one.stdin = None
    said = [one.communicate(timeout=60) for one in racers]
    assert sorted(one.returncode for one in racers) == [0, 3], said
