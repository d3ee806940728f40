"""D1, for all inputs: the splitter of statements, parameters, values."""

import asyncio
import math
import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from d1_schema.embedded import open_database
from d1_schema.sqlite.engine import connect, rows_of
from d1_schema.sqlite.text import has_statement, parse_statements, split_statements
from d1_schema.values import from_plain, to_plain

quoted = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
statements = st.one_of(
    quoted.map(lambda t: "SELECT '{}'".format(t.replace("'", "''"))),
    quoted.map(lambda t: 'SELECT 1 AS "{}"'.format(t.replace('"', '""') or "a")),
    quoted.map(lambda t: "SELECT 1 -- {}\n".format(t.replace("\n", " "))),
    quoted.map(lambda t: "SELECT /* {} */ 2".format(t.replace("*/", "x").replace("*", "x"))),
    st.sampled_from(
        [
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; SELECT ';'; END",
            "CREATE TEMP TRIGGER a BEFORE UPDATE ON t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; END",
            "SELECT CASE WHEN 1 THEN 2 END",
            "CREATE TABLE trigger_log (a)",
            "SELECT [a;b] FROM (SELECT 1 AS [a;b])",
        ]
    ),
)


@given(parts=st.lists(statements, max_size=6), gap=st.sampled_from(["", " ", "\n", "\r\n\t"]))
def test_a_script_is_cut_where_its_statements_end(parts: list[str], gap: str) -> None:
    """Semicolons in texts, names, comments and triggers do not cut."""
    script = gap.join(part + ";" for part in parts)
    assert split_statements(script) == [f"{part};".strip() for part in parts]


@given(st.text(max_size=60))
@example("'unfinished ; text")
@example("/* unfinished ; comment")
@example("SELECT 1;;  ; SELECT 2")
def test_cutting_loses_nothing(sql: str) -> None:
    """Whatever the text, the pieces together are the text, but for space around them."""
    pieces = split_statements(sql)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", sql)
    assert all(piece.strip() == piece != "" for piece in pieces)
    assert has_statement(sql) == any(map(has_statement, pieces))


parameters = st.lists(
    st.sampled_from(["?", "?1", "?2", "?4", ":a", ":b", "@a", "$a", "$x::y", "'?'", '":a"']),
    min_size=1,
    max_size=8,
)


@given(parameters)
def test_parameters_are_numbered_as_sqlite_numbers_them(tokens: list[str]) -> None:
    """
    A value bound by its position arrives where SQLite's own number puts it.

    The judge is SQLite, which refuses another number of values than it counts itself.
    """
    sql = "SELECT " + ", ".join(tokens)
    (statement,) = parse_statements(sql)
    values = [f"value {i}" for i in range(statement.parameter_count)]
    connection = connect(":memory:")

    [row] = rows_of(connection, statement.text, values)
    connection.close()

    assert list(row) == [_expected(tokens, at, values) for at in range(len(tokens))]


def _expected(tokens: list[str], at: int, values: list[str]) -> str:
    """The rule of sqlite.org/lang_expr.html, written once more, plainly."""
    greatest = 0
    names: dict[str, int] = {}
    for position, token in enumerate(tokens):
        if token[0] not in "?:@$":
            number = 0
        elif token == "?":
            number = greatest + 1
        elif token[0] == "?":
            number = int(token[1:])
        else:
            number = names.setdefault(token, greatest + 1)
        greatest = max(greatest, number)
        if position == at:
            return values[number - 1] if number else token[1:-1]
    raise AssertionError(at)


plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.binary(max_size=30)
)


@given(plain)
def test_a_value_comes_back_as_javascript_would_give_it(value: Any) -> None:
    """Whole numbers as int, NaN and infinities as None, the rest as it was."""
    found = from_plain(to_plain(value))
    if isinstance(value, float) and not math.isfinite(value):
        assert found is None
    elif isinstance(value, (bool, int, float)):
        assert found == value
        assert isinstance(found, int) == (float(value).is_integer() and abs(value) <= 2**53)
    else:
        assert found == value


@settings(max_examples=25, deadline=None)
@given(st.lists(plain, min_size=1, max_size=20))
def test_a_row_keeps_its_values(values: list[Any]) -> None:
    """Through a real table without column types, in one statement."""

    async def main(folder: Path) -> None:
        db = await open_database(folder / "d1.sqlite")
        columns = ", ".join(f"c{i}" for i in range(len(values)))
        await db.exec(f"CREATE TABLE t ({columns})")
        marks = ", ".join("?" * len(values))
        await db.prepare(f"INSERT INTO t VALUES ({marks})").bind(*values).run()
        (row,) = await db.prepare("SELECT * FROM t").raw()
        await db.close()
        assert row == [from_plain(to_plain(value)) for value in values]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
