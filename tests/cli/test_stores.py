"""`edgekeep kv|d1|r2|durable|cron`: looking into a state and touching it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Edgekeep, Server, profile_lines
from worker.registry import SCHEDULES


def test_a_value_comes_back_as_it_was_put(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """A text, and the bytes of a file, are read back byte for byte."""
    where = ("--binding", "PROFILES_KV", "--state", tmp_path)
    (tmp_path / "file").write_bytes(b"line\r\n\xc3\xa4")

    edgekeep("kv", "key", "put", "text", "hällo", *where)
    edgekeep("kv", "key", "put", "bytes", "--path", tmp_path / "file", *where)

    assert edgekeep("kv", "key", "get", "text", *where).stdout == "hällo"
    assert edgekeep("kv", "key", "get", "bytes", *where).stdout.encode() == b"line\r\n\xc3\xa4"


def test_keys_are_listed_with_what_is_known_of_them(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """One name a line; with --json the expiration and the metadata too."""
    where = ("--binding", "PROFILES_KV", "--state", tmp_path)
    edgekeep("kv", "key", "put", "b", "2", "--ttl", "3600", "--metadata", '{"a": [1]}', *where)
    edgekeep("kv", "key", "put", "a", "1", *where)

    plain = edgekeep("kv", "key", "list", *where)
    prefixed = edgekeep("kv", "key", "list", "--prefix", "b", *where)
    first, second = json.loads(edgekeep("kv", "key", "list", "--json", *where).stdout)

    assert plain.stdout == "a\nb\n"
    assert prefixed.stdout == "b\n"
    assert first == {"name": "a"}
    assert second["metadata"] == {"a": [1]}
    assert isinstance(second["expiration"], int)


def test_a_deleted_key_is_gone(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """After delete, get is code 1; deleting again is no failure."""
    where = ("greeting", "--binding", "PROFILES_KV", "--state", tmp_path)
    edgekeep("kv", "key", "put", where[0], "hello", *where[1:])

    codes = [edgekeep("kv", "key", verb, *where).returncode for verb in ("delete", "get", "delete")]

    assert codes == [0, 1, 0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("put", "key", "value", "--binding", "NOPE"), "no KV namespace NOPE; it has: PROFILES_KV"),
        (("put", "key", "--binding", "PROFILES_KV"), "Give either VALUE or --path FILE"),
        (("put", "key", "v", "--ttl", "5", "--binding", "PROFILES_KV"), "60"),
        (("put", "k" * 600, "v", "--binding", "PROFILES_KV"), "512"),
    ],
)
def test_a_wrong_put_is_one_sentence(
    edgekeep: Edgekeep, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """An unknown binding, no value, and what Cloudflare's limits forbid."""
    done = edgekeep("kv", "key", *words, "--state", tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_namespaces_are_those_of_the_configuration(edgekeep: Edgekeep) -> None:
    """Each binding with its id."""
    found = json.loads(edgekeep("kv", "namespace", "list", "--json").stdout)

    assert {"binding": "PROFILES_KV", "id": "profiles"} in found


def test_sql_runs_beside_the_server(edgekeep: Edgekeep, server: Server) -> None:
    """A query on a state that a host serves; the table is laid out for a person."""
    sql = "SELECT name, applied_at IS NOT NULL AS applied FROM d1_migrations ORDER BY name LIMIT 1"

    done = edgekeep("d1", "execute", "DB", "--command", sql, "--state", server.state)

    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "applied"]
    assert lines[1].split() == ["0001_profiles_create_table.sql", "1"]
    assert lines[2].startswith("1 rows")


def test_several_statements_are_all_or_none(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """A file whose second statement fails leaves nothing behind; code 3 and D1's text."""
    script = tmp_path / "work.sql"
    where = ("d1", "execute", "edgekeep", "--state", tmp_path / "state")
    edgekeep(*where, "--command", "CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT)")
    script.write_text(
        "INSERT INTO t VALUES (1, 'a;b'); -- one\nINSERT INTO t VALUES (1, 'again');\n"
    )

    failed = edgekeep(*where, "--file", script)
    counted = json.loads(
        edgekeep(*where, "--command", "SELECT count(*) AS n FROM t", "--json").stdout
    )

    assert failed.returncode == 3
    assert "UNIQUE constraint failed" in failed.stderr
    assert counted[0]["results"] == [{"n": 0}]
    assert counted[0]["success"] is True


def test_nulls_blobs_and_long_texts_are_shown_short(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """The table stays readable; --json has everything."""
    words = ("d1", "execute", "DB", "--state", tmp_path, "--command")
    sql = "SELECT NULL AS a, x'0102' AS b, printf('%.100c', 'x') AS c"

    shown = edgekeep(*words, sql).stdout
    document = json.loads(edgekeep(*words, sql, "--json").stdout)[0]["results"][0]

    assert "NULL" in shown
    assert "<2 bytes>" in shown
    assert "…" in shown
    assert document == {"a": None, "b": [1, 2], "c": "x" * 100}


@pytest.mark.parametrize("sql", ["", " ; ", "-- nothing"])
def test_no_statement_is_wrong_usage(edgekeep: Edgekeep, tmp_path: Path, sql: str) -> None:
    """Text without SQL is refused before anything is opened."""
    done = edgekeep("d1", "execute", "DB", "--command", sql, "--state", tmp_path / "state")

    assert done.returncode == 2
    assert "no SQL statement" in done.stderr


def test_an_unknown_database_is_named(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """The known ones stand beside it."""
    done = edgekeep("d1", "execute", "OTHER", "--command", "SELECT 1", "--state", tmp_path)

    assert done.returncode == 2
    assert "no D1 database OTHER; it has: DB" in done.stderr


def test_migrations_are_listed_applied_and_created(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Pending before apply, dated after it, and a new one has the next number."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0007_trial.sql").write_text("CREATE TABLE trial (id INTEGER PRIMARY KEY);\n")
    (tmp_path / "wrangler_compat.toml").write_text(
        'name = "trial"\n[[d1_databases]]\nbinding = "DB"\ndatabase_name = "trial"\n'
    )

    def d1(*words: str) -> str:
        done = edgekeep("d1", "migrations", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "pending" in d1("list", "DB")
    assert d1("apply", "DB") == "applied 0007_trial.sql\n"
    assert d1("apply", "trial") == ""
    assert "pending" not in d1("list", "DB")
    created = Path(d1("create", "DB", "next_step").strip())
    assert created.name == "0008_next_step.sql"
    assert created.read_text().startswith("-- next_step")


def test_objects_go_in_and_out_of_a_bucket(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """put, list, get and delete; the bucket may be named by its binding."""
    body = bytes(range(256)) * 3000
    source, target = tmp_path / "in.bin", tmp_path / "out.bin"
    source.write_bytes(body)
    state = ("--state", tmp_path / "state")

    edgekeep("r2", "object", "put", "BLOBS/a/b.bin", "--file", source, *state)
    listed = json.loads(
        edgekeep(
            "r2", "object", "list", "edgekeep-blobs", "--prefix", "a/", "--json", *state
        ).stdout
    )
    edgekeep("r2", "object", "get", "edgekeep-blobs/a/b.bin", "--file", target, *state)
    edgekeep("r2", "object", "delete", "BLOBS/a/b.bin", *state)
    gone = edgekeep("r2", "object", "get", "BLOBS/a/b.bin", "--file", target, *state)

    assert [(each["key"], each["size"]) for each in listed] == [("a/b.bin", len(body))]
    assert target.read_bytes() == body
    assert gone.returncode == 1
    assert "no object a/b.bin" in gone.stderr


def test_a_bucket_path_has_a_slash(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """A bucket without a key is wrong usage."""
    done = edgekeep("r2", "object", "delete", "BLOBS", "--state", tmp_path)

    assert done.returncode == 2
    assert "must be BUCKET/KEY" in done.stderr


def test_actors_with_data_are_listed(edgekeep: Edgekeep, server: Server) -> None:
    """An import leaves its room for a while: class, id and size."""
    edgekeep("import", "-", "--state", server.state, stdin=profile_lines(500, 2).encode())

    rooms = json.loads(
        edgekeep(
            "durable", "list", "--class", "ImportRoom", "--json", "--state", server.state
        ).stdout
    )

    assert rooms
    assert {"class", "id", "bytes"} == set(rooms[0])
    assert len(rooms[0]["id"]) == 64


def test_crons_are_listed_with_their_next_moment(edgekeep: Edgekeep) -> None:
    """The configuration's expressions, each with a moment to come in UTC."""
    listed = json.loads(edgekeep("cron", "list", "--json").stdout)

    moments = {row["cron"]: datetime.fromisoformat(row["next"]) for row in listed}
    assert set(moments) == set(SCHEDULES)
    assert moments["17 3 * * *"].strftime("%H:%M") == "03:17"
    assert all(moment > datetime.now(UTC) for moment in moments.values())


def test_a_cron_runs_in_the_server_or_here(
    edgekeep: Edgekeep, server: Server, tmp_path: Path
) -> None:
    """With a host it is asked, without one the job runs in this process."""
    there = edgekeep("cron", "run", "17 3 * * *", "--state", server.state)
    here = edgekeep("cron", "run", "17 3 * * *", "--state", tmp_path / "state")
    unnamed = edgekeep("cron", "run", "--state", tmp_path / "state")

    assert there.returncode == here.returncode == 0
    assert unnamed.returncode == 2
    assert "Say which: " in unnamed.stderr
    assert "cron_done" not in there.stderr
    assert "cron_done" in here.stderr


def test_a_cron_that_is_not_configured_is_refused(edgekeep: Edgekeep, tmp_path: Path) -> None:
    """Only what the configuration names can be run."""
    done = edgekeep("cron", "run", "* * * * *", "--state", tmp_path)

    assert done.returncode == 2
    assert "is not in [triggers] crons" in done.stderr
