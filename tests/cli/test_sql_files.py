"""SQL in files, for `d1 execute --file` and as migrations: dumps, encodings, where errors are."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.verbs import edgekeep

Loading = Callable[[bytes], Run]

# What `sqlite3 .dump` (3.40) wrote of a table with a sequence, a control character, a trigger, a
# view, and a child that comes before its parent.
DUMP = r"""PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE boats(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, note TEXT);
INSERT INTO boats VALUES(1,'Zora','sails; slowly -- with care');
INSERT INTO boats VALUES(7,'Kestrel',replace('two\nlines','\n',char(10)));
CREATE TABLE crews(boat INTEGER REFERENCES harbours(id), name TEXT);
INSERT INTO crews VALUES(3,'BEGIN; COMMIT;');
CREATE TABLE harbours(id INTEGER PRIMARY KEY);
INSERT INTO harbours VALUES(3);
CREATE TRIGGER named AFTER INSERT ON harbours BEGIN UPDATE boats SET note = 'x;y'; SELECT 1; END;
CREATE VIEW names AS SELECT name FROM boats;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('boats',7);
CREATE INDEX boats_name ON boats(name);
COMMIT;
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state of its own."""
    return tmp_path / "state"


def execute(state: Path, sql: bytes) -> Run:
    """Run *sql* as a file."""
    file = state.parent / "given.sql"
    file.write_bytes(sql)
    return edgekeep("d1", "execute", "DB", "--file", file, "--state", state)


def migrate(state: Path, sql: bytes) -> Run:
    """Apply *sql* as a migration of a configuration with nothing else in it."""
    config = state.parent / "wrangler_compat.toml"
    folder = state.parent / "migrations"
    folder.mkdir(exist_ok=True)
    config.write_text(
        "name = 'trial'\n[[d1_databases]]\nbinding = 'DB'\ndatabase_name = 'edgekeep'\n"
    )
    (folder / "0001_given.sql").write_bytes(sql)
    return edgekeep("d1", "migrations", "apply", "DB", "--config", config, "--state", state)


@pytest.fixture(params=[execute, migrate], ids=["execute", "migrate"])
def load(request: pytest.FixtureRequest, state: Path) -> Loading:
    """Both ways that a file comes in."""
    return lambda sql: request.param(state, sql)


def asked(state: Path, sql: str) -> str:
    """Return what a query prints."""
    done = edgekeep("d1", "execute", "DB", "--command", sql, "--state", state)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_sqlite_dumps_is_loaded(load: Loading, state: Path) -> None:
    """With its PRAGMA and its transaction, children before their parents, and its sequence."""
    assert load(DUMP.encode()).returncode == 0
    assert "two\\nlines" in asked(state, "SELECT note FROM boats WHERE id = 7")
    assert "BEGIN; COMMIT;" in asked(state, "SELECT name FROM crews")
    assert "8" in asked(state, "INSERT INTO boats (name) VALUES ('next') RETURNING id")


def test_what_this_machines_sqlite_dumps_is_loaded(load: Loading, state: Path) -> None:
    """Whatever its version: odd names and texts, every type."""
    script = (
        'CREATE TABLE "odd name"(a TEXT, "b""c" REAL, d BLOB, e);\n'
        "INSERT INTO \"odd name\" VALUES('it''s;', 1.5e300, x'00ff', NULL),\n"
        "('a' || char(10, 13) || 'b', -0.0, zeroblob(3), 9007199254740991), ('☃', 1, '', 2);\n"
        ".dump\n"
    )
    code = "import sqlite3,sys; d=sqlite3.connect(':memory:'); d.executescript(sys.argv[1]); "
    code += "sys.stdout.buffer.write('\\n'.join(d.iterdump()).encode())"
    dumped = subprocess.run(
        [sys.executable, "-c", code, script.removesuffix(".dump\n")],
        capture_output=True,
        check=True,
    ).stdout
    assert load(dumped).returncode == 0
    assert "3" in asked(state, 'SELECT count(*) FROM "odd name"')


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (r"unistr('two\u000alines')", "two\nlines"),
        (r"UNISTR('\000d\\\U0001F642''')", "\r\\🙂'"),
        (r"'unistr(''\u000a'')'", r"unistr('\u000a')"),
        (r"'a' || unistr('\u0009')", "a\t"),
    ],
)
def test_control_characters_of_a_newer_dump_are_read(
    state: Path, written: str, expected: str
) -> None:
    """From 3.50 on sqlite3 writes them by a function that D1 does not have."""
    sql = f"CREATE TABLE t(a);\nINSERT INTO t VALUES({written});"
    assert execute(state, sql.encode()).returncode == 0
    codes = ",".join(str(ord(letter)) for letter in expected)
    assert "1 " in asked(state, f"SELECT 1 AS yes FROM t WHERE a = char({codes})").replace(
        "\n", " "
    )


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN; CREATE TABLE t(a);",
        "CREATE TABLE t(a); COMMIT;",
        "BEGIN; BEGIN; CREATE TABLE t(a); COMMIT; COMMIT;",
        "BEGIN; CREATE TABLE t(a); ROLLBACK; -- due to errors",
        "SAVEPOINT s; CREATE TABLE t(a); RELEASE s;",
    ],
)
def test_a_transaction_that_is_not_whole_is_refused(load: Loading, state: Path, sql: str) -> None:
    """sqlite3 would undo it, or the dump was cut short: nothing is kept."""
    done = load(sql.encode())
    assert done.returncode == 3
    assert "transaction" in done.stderr
    assert "0" in asked(state, "SELECT count(*) FROM sqlite_master WHERE name = 't'")


def test_several_transactions_are_one(load: Loading, state: Path) -> None:
    """Dumps one behind the other: all of them, or none."""
    sql = "BEGIN; CREATE TABLE t(a); COMMIT;\nBEGIN IMMEDIATE TRANSACTION; {}; END TRANSACTION;"
    assert load(sql.format("INSERT INTO nowhere VALUES (1)").encode()).returncode == 3
    assert "0" in asked(state, "SELECT count(*) FROM sqlite_master WHERE name = 't'")
    assert load(sql.format("INSERT INTO t VALUES (1)").encode()).returncode == 0


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le mark", "utf-16-be mark"]
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_texts_from_windows_are_read(load: Loading, state: Path, encoding: str, ends: str) -> None:
    """UTF-8 with its mark or without, UTF-16 of either order with its mark."""
    name, _, mark = encoding.partition(" ")
    sql = f"CREATE TABLE t(a);{ends}INSERT INTO t VALUES('grüße');{ends}"
    assert load((("\ufeff" if mark else "") + sql).encode(name)).returncode == 0
    assert "grüße" in asked(state, "SELECT a FROM t")


@pytest.mark.parametrize("encoding", ["cp1252", "cp1250", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused_with_the_name_of_the_file(
    load: Loading, state: Path, encoding: str
) -> None:
    """They could only be guessed: one sentence, and nothing is kept."""
    done = load("CREATE TABLE t(a);\nINSERT INTO t VALUES('grüße');\n".encode(encoding))
    assert done.returncode in (2, 3)
    assert "given.sql" in done.stderr
    assert "UTF-8" in done.stderr
    assert "Traceback" not in done.stderr
    if encoding.startswith("cp"):
        assert "line 2" in done.stderr


_MISTAKE = """CREATE TABLE ok(a);
-- fine
INSERT INTO ok VALUES(1);

CREATE TABLE bad(
  id INTEGER,
  n TEXT,
  limit INTEGER
);
SELECT 1;
"""


@pytest.mark.parametrize(
    ("sql", "line", "statement", "shown"),
    [
        (_MISTAKE, 8, 3, "CREATE TABLE bad("),
        ("SELECT 1;\n\n/* a\nremark */ -- more\nSELECT nothing;\n", 5, 2, "SELECT nothing;"),
        ("CREATE TABLE t(a UNIQUE);\nINSERT INTO t VALUES(1);\nINSERT INTO t\nVALUES(1);", 3, 3,
         "INSERT INTO t"),
        ("SELECT 'ü\n;\n', (\n  SELECT nein);", 4, 1, "SELECT 'ü"),
        ("CREATE TABLE t(a);\nPRAGMA writable_schema = ON;\n", 2, 2, "PRAGMA writable_schema"),
        ("BEGIN;\nSELECT 1;\nSELECT nein;\nCOMMIT;\n", 3, 3, "SELECT nein;"),
        ("SELECT 1;\nATTACH 'x' AS y;\n", 2, 2, "ATTACH 'x' AS y;"),
    ],
)  # fmt: skip
def test_an_error_names_line_and_statement(
    load: Loading, sql: str, line: int, statement: int, shown: str
) -> None:
    """Of the file as it is seen in an editor, remarks and empty lines counted."""
    said = load(sql.encode()).stderr
    assert "given.sql: D1_ERROR" in said
    assert f"(line {line}, in statement {statement}: {shown}" in said


def test_what_fails_at_the_end_names_no_statement(state: Path) -> None:
    """A child without its parent is found when all of it is kept; the file is named alone."""
    sql = "PRAGMA defer_foreign_keys = ON;\nCREATE TABLE p(id INTEGER PRIMARY KEY);\n"
    sql += "CREATE TABLE c(p REFERENCES p(id));\nINSERT INTO c VALUES(1);\n"
    said = execute(state, sql.encode()).stderr
    assert "given.sql: D1_ERROR: FOREIGN KEY constraint failed" in said
    assert "in statement" not in said


def test_a_start_says_which_migration_cannot_be_read(tmp_path: Path) -> None:
    """The host's own start is a sentence too."""
    done = migrate(tmp_path / "state", "-- grüße\nSELECT 1;".encode("cp1252"))
    assert done.stderr.count("\n") == 1
    assert "0001_given.sql: line 1 is not UTF-8" in done.stderr
