"""`edgekeep dev`: start, refusals, reset, stop."""

import json
import socket
import urllib.request
from pathlib import Path

from tests.cli.conftest import Edgekeep, Server, profile_lines, running_server
from tests.support.ports import free_port


def count(server: Server) -> int:
    """Ask the server for the number of profiles."""
    with urllib.request.urlopen(f"{server.url}/api/profiles/count") as answer:
        total: int = json.load(answer)["total"]
        return total


def test_the_first_start_makes_state_and_secrets(own_server: Server) -> None:
    """A new state directory holds stores, private secrets, and where the host answers."""
    about = json.loads((own_server.state / "host.json").read_text())

    assert about == {"pid": own_server.process.pid, "url": own_server.url}
    assert (own_server.state / ".dev.vars").stat().st_mode & 0o777 == 0o600
    assert count(own_server) == 0


def test_sigterm_ends_it_well(own_server: Server) -> None:
    """A stop that was asked for is code 0 and takes host.json away."""
    assert own_server.stop() == 0
    assert not (own_server.state / "host.json").exists()


def test_a_port_that_is_taken_is_said_before_anything_is_touched(
    edgekeep: Edgekeep, tmp_path: Path
) -> None:
    """The sentence names the port and what to do; the state is not even made."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = edgekeep("dev", "--port", str(port), "--state", tmp_path / "state", "--reset")

    assert done.returncode == 5
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "state").exists()


def test_an_address_that_is_not_ours_is_refused(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """A host name that cannot be listened on is a sentence."""
    done = edgekeep("dev", "--host", "256.0.0.1", "--state", tmp_path)

    assert done.returncode == 2
    assert "256.0.0.1 is not an address of this machine" in done.stderr


def test_a_state_has_one_host(edgekeep: Edgekeep, server: Server) -> None:
    """A second host on the same state is refused, whatever its port."""
    done = edgekeep("dev", "--port", str(free_port()), "--state", server.state)

    assert done.returncode == 5
    assert "uses the state" in done.stderr


def test_reset_is_refused_while_a_host_runs(edgekeep: Edgekeep, server: Server) -> None:
    """Nothing is removed below a running host."""
    done = edgekeep("dev", "--port", str(free_port()), "--state", server.state, "--reset")

    assert done.returncode == 5
    assert (server.state / "kv").exists()


def test_reset_refuses_a_directory_that_is_not_ours(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """One file that is none of ours saves the whole directory."""
    (tmp_path / "kv").mkdir()
    (tmp_path / "kv" / "PROFILES_KV.sqlite").write_text("precious")
    (tmp_path / "thesis.txt").write_text("precious")

    done = edgekeep("dev", "--port", str(free_port()), "--state", tmp_path, "--reset")

    assert done.returncode == 2
    assert "thesis.txt" in done.stderr
    assert (tmp_path / "kv" / "PROFILES_KV.sqlite").read_text() == "precious"


def test_what_is_stored_is_there_after_a_restart_and_gone_after_a_reset(
    edgekeep: Edgekeep, tmp_path: Path
) -> None:
    """Profiles outlive the process; --reset removes them and keeps the secrets."""
    state = tmp_path / "state"
    with running_server(state) as server:
        done = edgekeep("import", "-", "--state", state, stdin=profile_lines(0, 20).encode())
        assert done.returncode == 0
        server.process.kill()
    secrets = (state / ".dev.vars").read_text()
    with running_server(state) as server:
        assert count(server) == 20
        assert server.stop() == 0
    with running_server(state, "--reset") as server:
        assert count(server) == 0
    assert (state / ".dev.vars").read_text() == secrets
