"""Whom the verbs know as the host of their state: it alone is sent a token that they make."""

import os
import signal
import stat
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Edgekeep, Server, running_server


@contextmanager
def stranger(port: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Run a server that notes every credential it is sent; yield its port and the notes."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.extend(self.headers.get_all("Authorization", []))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name that http.server asks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port, heard
        server.shutdown()
        thread.join()


VERBS = [("export", "-"), ("import", "examples/profiles.ndjson"), ("report", "imp_1")]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_no_token_goes_to_whatever_listens(
    edgekeep: Edgekeep, server: Server, verb: tuple[str, ...], name: str
) -> None:
    """At another port of this machine, also while the host of the state runs."""
    with stranger() as (port, heard):
        done = edgekeep(*verb, "--url", f"http://{name}:{port}", "--state", server.state)
    assert heard == []
    assert "no token was made for it" in done.stderr
    assert "--token" in done.stderr


def test_no_token_goes_to_the_place_of_a_host_that_is_gone(
    edgekeep: Edgekeep, tmp_path: Path
) -> None:
    """Killed, it could not take back where it answered; whoever has the port now is a stranger."""
    state = tmp_path / "state"
    with running_server(state) as server:
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert (state / "host.json").exists()
        with stranger(server.port) as (_port, heard):
            done = edgekeep("export", "-", "--url", server.url, "--state", state)
            edgekeep("export", "-", "--state", state)
    assert heard == []
    assert "no token was made for it" in done.stderr


def test_a_token_that_is_given_goes_where_it_is_sent(edgekeep: Edgekeep, server: Server) -> None:
    """--token is the caller's own word."""
    with stranger() as (port, heard):
        url = f"http://127.0.0.1:{port}"
        edgekeep("export", "-", "--url", url, "--token", "mine", "--state", server.state)
    assert heard == ["Bearer mine"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_host_of_the_state_is_known(edgekeep: Edgekeep, server: Server, name: str) -> None:
    """By its address or as localhost: a token is made and opens the door."""
    url = f"http://{name}:{server.port}"
    done = edgekeep("export", "-", "--url", url, "--state", server.state)
    assert done.returncode == 0
    assert "token" not in done.stderr


def test_the_console_is_opened_by_a_link(edgekeep: Edgekeep, own_server: Server) -> None:
    """The verb prints it from a file that only its owner reads, and that ends with the host."""
    link = edgekeep("console", "--state", own_server.state).stdout.strip()
    key = own_server.state / "host.key"
    assert link == f"{own_server.url}/_console?key={key.read_text().strip()}"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(link.replace("127.0.0.1", "localhost")) as page:
        assert page.url == f"http://localhost:{own_server.port}/_console"
        assert b"Bindings" in page.read()
    assert own_server.stop() == 0
    assert not key.exists()
    done = edgekeep("console", "--state", own_server.state)
    assert done.returncode == 4
    assert "No host runs" in done.stderr


def test_every_run_has_a_key_of_its_own(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """A link of yesterday opens nothing today."""
    keys = []
    for _ in range(2):
        with running_server(tmp_path / "state") as server:
            keys.append((server.state / "host.key").read_text())
            assert server.stop() == 0
    assert keys[0] != keys[1]
