"""The SQLite dialect by itself, as Durable Objects use it too (facts/bindings.md B4, B7)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from d1_schema.sqlite.authority import Authority, install_authorizer
from d1_schema.sqlite.dialect import describe, open_connection
from d1_schema.sqlite.engine import Connection, Error
from d1_schema.sqlite.text import split_statements

Guarded = tuple[Connection, Authority]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """A connection under authority."""
    connection = open_connection(tmp_path / "x.sqlite")
    yield connection, install_authorizer(connection)
    connection.close()


def refusal(guarded: Guarded, sql: str) -> str:
    """What a statement is answered."""
    connection, authority = guarded
    with pytest.raises(Error) as caught:
        connection.execute(sql).fetchall()
    return describe(caught.value, authority)


@pytest.mark.parametrize("sql", ["BEGIN", "SAVEPOINT a", "EXPLAIN BEGIN"])
def test_transactions_are_refused_by_the_authorizer_itself(guarded: Guarded, sql: str) -> None:
    """Also for a caller that does not look at the text."""
    assert refusal(guarded, sql).startswith("To execute a transaction, please use")


def test_the_owner_may_lift_the_authority_for_its_own_statements(guarded: Guarded) -> None:
    """Inside the block everything goes; after it, nothing more than before."""
    connection, authority = guarded
    with authority.lifted():
        connection.execute("BEGIN /* own */")
        connection.execute("ROLLBACK /* own */")
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)

    assert refusal(guarded, "PRAGMA application_id") == "not authorized: SQLITE_AUTH"
    assert refusal(guarded, "BEGIN").startswith("To execute a transaction")


def test_a_refusal_speaks_once(guarded: Guarded) -> None:
    """The text of one refusal is not given to the next error."""
    connection, _ = guarded
    with pytest.raises(Error):
        connection.execute("BEGIN")
    assert refusal(guarded, "SELEC 1") == 'near "SELEC": syntax error at offset 0: SQLITE_ERROR'


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT sqlite_version()", "not authorized to use function: sqlite_version at offset 7"),
        ("SELECT soundex('a')", "no such function: soundex at offset 7"),
        ("SELECT fts3_tokenizer('simple')", "no such function: fts3_tokenizer at offset 7"),
        ("SELECT * FROM dbstat", "no such table: dbstat"),
    ],
)
def test_what_d1_does_not_have_is_not_there(guarded: Guarded, sql: str, text: str) -> None:
    """Functions and modules beyond D1's list, whatever this SQLite was built with."""
    assert refusal(guarded, sql) == f"{text}: SQLITE_ERROR"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("concat('a', NULL, 1, x'62')", "a1b"),
        ("concat_ws('-', 'a', NULL, 2)", "a-2"),
        ("concat_ws(NULL, 'a')", None),
        ("octet_length('é')", 2),
        ("octet_length(NULL)", None),
    ],
)
def test_functions_of_newer_sqlite_are_there(
    guarded: Guarded, expression: str, value: object
) -> None:
    """D1 has them too."""
    assert guarded[0].execute(f"SELECT {expression}").fetchone() == (value,)


def test_altering_a_table_works_under_authority(guarded: Guarded) -> None:
    """ALTER TABLE uses inner functions of SQLite, which are allowed."""
    connection, _ = guarded
    for sql in (
        "CREATE TABLE t (a, b CHECK (b > 0))",
        "CREATE INDEX i ON t (a)",
        "ALTER TABLE t ADD COLUMN c NOT NULL DEFAULT 1",
        "ALTER TABLE t RENAME COLUMN a TO z",
        "ALTER TABLE t DROP COLUMN b",
        "ALTER TABLE t RENAME TO u",
    ):
        connection.execute(sql)
    assert [row[1] for row in connection.execute("PRAGMA table_info(u)")] == ["z", "c"]


def test_a_script_is_cut_into_statements() -> None:
    """Pieces keep their semicolons; a piece may be empty of statements."""
    assert split_statements("SELECT 1; -- x") == ["SELECT 1;", "-- x"]
    assert split_statements(" \n") == []
