"""The command line with KV on Redis: EDGEKEEP_KV is enough."""

from pathlib import Path

from tests.cli.conftest import Edgekeep, profile_lines, running_server
from tests.support.ports import free_port
from tests.support.redis_server import redis_server


def test_looking_and_touching_reach_redis(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Keys put, listed, read and deleted lie in Redis, and not in the state."""
    state = tmp_path / "state"
    where = ("--binding", "PROFILES_KV", "--state", state)
    with redis_server(tmp_path / "redis") as server:
        there = {"EDGEKEEP_KV": server.url}
        assert edgekeep("kv", "key", "put", "k", "hällo", *where, **there).returncode == 0

        assert server.command("EXISTS", "edgekeep:{PROFILES_KV}:v:k") == b":1\r\n"
        assert edgekeep("kv", "key", "list", *where, **there).stdout == "k\n"
        assert edgekeep("kv", "key", "get", "k", *where, **there).stdout == "hällo"
        assert edgekeep("kv", "key", "list", *where).stdout == ""
        assert edgekeep("kv", "key", "delete", "k", *where, **there).returncode == 0
        assert server.command("DBSIZE") == b":0\r\n"


def test_an_import_ends_in_redis(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """The server takes EDGEKEEP_KV, and `edgekeep import` stores there through it."""
    source = tmp_path / "profiles.ndjson"
    source.write_text(profile_lines(0, 300))
    state = tmp_path / "state"
    with redis_server(tmp_path / "redis") as redis:
        there = {"EDGEKEEP_KV": redis.url}
        with running_server(state, **there) as server:
            done = edgekeep("import", source, "--url", server.url, "--state", state, **there)
        assert done.returncode == 0, done.stderr

        assert redis.command("ZCARD", "edgekeep:{PROFILES_KV}:names") == b":300\r\n"


def test_a_redis_that_is_not_there_is_one_sentence(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Usage error, the address, no trace and no password."""
    port = free_port()
    where = ("--binding", "PROFILES_KV", "--state", tmp_path / "state")
    url = f"redis://:not-to-be-seen@127.0.0.1:{port}"

    done = edgekeep("kv", "key", "list", *where, EDGEKEEP_KV=url)

    assert done.returncode == 2
    said = f"Redis at 127.0.0.1:{port} does not answer (Connection refused)."
    assert done.stderr == f"edgekeep: EDGEKEEP_KV: {said}\n"
