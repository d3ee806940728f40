"""`edgekeep profiles …` and `edgekeep export`."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kv.contract import KVPut
from kv.embedded import open_namespace
from scripts.cli.sample import demo_profile
from tests.cli.conftest import Edgekeep, Server, profile_lines, running_server


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, edgekeep: Edgekeep) -> Iterator[Server]:
    """A server with 120 profiles."""
    state = tmp_path_factory.mktemp("filled") / "state"
    with running_server(state) as server:
        done = edgekeep("import", "-", "--state", state, stdin=profile_lines(0, 120).encode())
        assert done.returncode == 0
        yield server


def test_get_prints_the_whole_document(edgekeep: Edgekeep, filled: Server) -> None:
    """The profile comes as it was imported, birthday included: the token may read it."""
    done = edgekeep("profiles", "get", "usr_demo00000007", "--state", filled.state)

    assert json.loads(done.stdout) == demo_profile(7)


def test_get_of_nobody_is_code_1(edgekeep: Edgekeep, filled: Server) -> None:
    """A profile that is not there is an answer, not a failure."""
    done = edgekeep("profiles", "get", "usr_nobodyhere", "--state", filled.state)

    assert done.returncode == 1
    assert done.stdout == ""


def test_list_stops_at_its_limit(edgekeep: Edgekeep, filled: Server) -> None:
    """Ids come in order, one a line."""
    done = edgekeep("profiles", "list", "--limit", "3", "--state", filled.state)

    assert done.stdout.split() == [f"usr_demo0000000{number}" for number in range(3)]


def test_list_all_goes_through_every_page(edgekeep: Edgekeep, filled: Server) -> None:
    """--all prints every id, --json the same as a document."""
    plain = edgekeep("profiles", "list", "--all", "--state", filled.state)
    document = json.loads(
        edgekeep("profiles", "list", "--all", "--json", "--state", filled.state).stdout
    )

    assert len(plain.stdout.split()) == 120
    assert [item["id"] for item in document["items"]] == plain.stdout.split()
    assert document["next_cursor"] is None


def test_count_counts(edgekeep: Edgekeep, filled: Server) -> None:
    """A bare number for people, a document for scripts."""
    assert edgekeep("profiles", "count", "--state", filled.state).stdout == "120\n"
    counted = edgekeep("profiles", "count", "--json", "--state", filled.state).stdout
    assert json.loads(counted) == {"total": 120}


def test_an_unknown_report_is_code_1(edgekeep: Edgekeep, filled: Server) -> None:
    """A report that was never kept is said so."""
    done = edgekeep("report", "imp_20261121080000_abcdef", "--state", filled.state)

    assert done.returncode == 1
    assert "no such report" in done.stderr


def test_an_export_is_every_profile_in_order(
    edgekeep: Edgekeep, filled: Server, tmp_path: Path
) -> None:
    """File and stdout hold the same lines; the file is an ordinary one."""
    path = tmp_path / "backup.ndjson"

    to_file = edgekeep("export", path, "--state", filled.state)
    to_stdout = edgekeep("export", "--state", filled.state)

    assert "120 profiles written" in to_file.stderr
    assert path.read_text() == to_stdout.stdout
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        demo_profile(number) for number in range(120)
    ]
    assert path.stat().st_mode & 0o400
    assert [each.name for each in tmp_path.iterdir()] == ["backup.ndjson"]


def test_an_export_that_breaks_leaves_the_old_file(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """When the server goes away in the middle, the file is what it was before."""
    path = tmp_path / "backup.ndjson"
    path.write_text("the old one\n")
    with socket.create_server(("127.0.0.1", 0)) as half:
        threading.Thread(target=answer_half, args=(half,), daemon=True).start()
        url = f"http://127.0.0.1:{half.getsockname()[1]}"
        done = edgekeep("export", path, "--url", url, "--token", "t")

    assert done.returncode == 4
    assert "broke" in done.stderr
    assert path.read_text() == "the old one\n"
    assert [each.name for each in tmp_path.iterdir()] == ["backup.ndjson"]


def answer_half(listening: socket.socket) -> None:
    """Answer one request with a body that ends before its length."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b'{"a":1}\n')


async def put_profiles(state: Path, numbers: range, user_name: str | None = None) -> None:
    """Write demo profiles straight into the KV store of *state*."""
    folder = state / "kv"
    folder.mkdir(parents=True, exist_ok=True)
    store = await open_namespace(folder / "PROFILES_KV.sqlite", time.time)
    rows = []
    for number in numbers:
        profile = demo_profile(number)
        if user_name is not None:
            profile["profile"]["identity"]["user_name"] = user_name
        rows.append(KVPut(f"profile:{profile['profile_id']}", json.dumps(profile)))
    await store.put_many(rows)
    await store.close()


def names(edgekeep: Edgekeep, state: Path) -> list[tuple[str, str]]:
    """Return id and user name of each profile in D1."""
    sql = (
        "SELECT profile_id, document ->> '$.profile.identity.user_name' AS name "
        "FROM profiles ORDER BY profile_id"
    )
    done = edgekeep("d1", "execute", "DB", "--command", sql, "--json", "--state", state)
    rows = json.loads(done.stdout)[0]["results"]
    return [(row["profile_id"], row["name"]) for row in rows]


def keys(edgekeep: Edgekeep, state: Path) -> list[str]:
    """Return the keys of the KV store."""
    return edgekeep(
        "kv", "key", "list", "--binding", "PROFILES_KV", "--state", state
    ).stdout.split()


def test_move_copies_compares_and_tells_how_to_switch(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Everything arrives, nothing is deleted unless asked, a second run changes nothing."""
    asyncio.run(put_profiles(tmp_path, range(1200)))
    words = ("profiles", "move", "--from", "kv", "--to", "d1", "--state", tmp_path)

    first = edgekeep(*words)
    second = edgekeep(*words)

    assert first.returncode == second.returncode == 0
    assert "1,200 profiles copied from kv to d1" in first.stdout
    assert 'set PROFILE_STORE = "d1"' in first.stdout
    assert "0 profiles copied from kv to d1, 1,200 were there" in second.stdout
    assert len(names(edgekeep, tmp_path)) == len(keys(edgekeep, tmp_path)) == 1200


def test_move_empties_the_old_store_when_asked(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """--delete-source leaves the old store without profiles, after the comparison."""
    asyncio.run(put_profiles(tmp_path, range(30)))

    there = edgekeep(
        "profiles", "move", "--from", "kv", "--to", "d1", "--delete-source", "--state", tmp_path
    )
    gone = keys(edgekeep, tmp_path)
    back = edgekeep(
        "profiles",
        "move",
        "--from",
        "d1",
        "--to",
        "kv",
        "--delete-source",
        "--state",
        tmp_path,
        PROFILE_STORE="d1",
    )

    assert "30 profiles deleted from kv" in there.stdout
    assert gone == []
    assert "30 profiles deleted from d1" in back.stdout
    assert len(keys(edgekeep, tmp_path)) == 30
    assert names(edgekeep, tmp_path) == []


def test_the_store_in_use_wins(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Before the switch the old store's version is copied; after it the new store's stays."""
    words = ("profiles", "move", "--from", "kv", "--to", "d1", "--state", tmp_path)
    asyncio.run(put_profiles(tmp_path, range(2), "first"))
    edgekeep(*words)
    asyncio.run(put_profiles(tmp_path, range(3), "second"))

    edgekeep(*words, PROFILE_STORE="d1")
    after_switch = [name for _, name in names(edgekeep, tmp_path)]
    edgekeep(*words, PROFILE_STORE="kv")
    before_switch = [name for _, name in names(edgekeep, tmp_path)]

    assert after_switch == ["first", "first", "second"]
    assert before_switch == ["second", "second", "second"]


def test_move_names_an_id_that_the_other_store_cannot_hold(
    edgekeep: Edgekeep, tmp_path: Path
) -> None:
    """D1 of an earlier version took longer ids: all else is copied, nothing is deleted."""
    asyncio.run(put_profiles(tmp_path, range(3)))
    there = ("profiles", "move", "--from", "kv", "--to", "d1", "--delete-source")
    edgekeep(*there, "--state", tmp_path)
    longer = (
        "UPDATE profiles SET profile_id = 'usr_' || hex(zeroblob(300)) "
        "WHERE profile_id = 'usr_demo00000001'"
    )
    edgekeep("d1", "execute", "DB", "--command", longer, "--state", tmp_path)

    back = ("profiles", "move", "--from", "d1", "--to", "kv", "--delete-source")
    done = edgekeep(*back, "--state", tmp_path, PROFILE_STORE="d1")

    assert done.returncode == 3
    assert "kv cannot hold an id of 604 characters: usr_0000" in done.stderr
    assert len(keys(edgekeep, tmp_path)) == 2
    assert len(names(edgekeep, tmp_path)) == 3


def test_move_is_refused_while_a_server_runs(edgekeep: Edgekeep, filled: Server) -> None:
    """An import behind its back could be missed: code 5."""
    done = edgekeep("profiles", "move", "--from", "kv", "--to", "d1", "--state", filled.state)

    assert done.returncode == 5
    assert "stop it before you move profiles" in done.stderr


def test_move_needs_two_stores(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """From and to must differ."""
    done = edgekeep("profiles", "move", "--from", "kv", "--to", "kv", "--state", tmp_path)

    assert done.returncode == 2
