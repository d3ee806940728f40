"""
SQL that one SQLite understands and another does not, against what D1 answers.

golden/d1_dialect.jsonl has statements by their text, in order, after the two lines of `_START`;
golden/d1_functions.jsonl says of each function whether D1 knows it.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from d1_schema.contract import D1Database, D1Error
from d1_schema.embedded import open_database
from tests.bindings.golden_lines import Differs, judge, read_golden

STATEMENTS = read_golden("d1_dialect.jsonl")
FUNCTIONS = read_golden("d1_functions.jsonl")
_START = (
    "CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT)\nINSERT INTO u VALUES (1, 'b'), (2, 'a')"
)

_LIMITED = "apsw's SQLite is built without LIMIT in UPDATE and DELETE; it fails loudly"
DIFFERENCES = {
    "SELECT x'41' LIKE 'a' AS a": Differs(
        [{"a": 0}], "apsw's SQLite is built so that LIKE matches no BLOB"
    ),
    "SELECT 'a\0b' a": Differs(
        ["ERR", "Error", "D1_ERROR: SQL code did not contain a statement."],
        "SQLite ends at the NUL, and what is before it is not looked at here",
    ),
    "SELECT fts5_source_id()": Differs(
        ["ERR", "Error", "D1_ERROR: no such function: fts5_source_id at offset 7: SQLITE_ERROR"],
        "both refuse it",
    ),
    "DELETE FROM u LIMIT 1": Differs(
        ["ERR", "Error", 'D1_ERROR: near "LIMIT": syntax error at offset 14: SQLITE_ERROR'],
        _LIMITED,
    ),
    "UPDATE u SET name='x' ORDER BY id LIMIT 1": Differs(
        ["ERR", "Error", 'D1_ERROR: near "ORDER": syntax error at offset 22: SQLITE_ERROR'],
        _LIMITED,
    ),
}

# Asked with one argument, as D1 was, SQLite speaks of their number before it asks for leave.
_ARGUMENTS = {
    "geopoly_contains_point": 3,
    "geopoly_regular": 4,
    "geopoly_xform": 7,
} | dict.fromkeys(
    ("geopoly_overlap", "geopoly_within", "percentile", "percentile_cont", "percentile_disc"), 2
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every statement run once, in order, and every function called."""

    async def replay(folder: Path) -> dict[str, Any]:
        db = await open_database(folder / "d1.sqlite")
        await db.exec(_START)
        found = {sql: await _rows(db, sql) for sql in STATEMENTS}
        found |= {name: await _verdict(db, name) for name in FUNCTIONS}
        await db.close()
        return found

    return asyncio.run(replay(tmp_path_factory.mktemp("dialect")))


async def _rows(db: D1Database, sql: str) -> Any:
    try:
        return (await db.prepare(sql).all()).results
    except D1Error as error:
        return ["ERR", "Error", str(error)]


async def _verdict(db: D1Database, name: str) -> str:
    arguments = ", ".join("1" * _ARGUMENTS.get(name, 1))
    call = name if name.startswith("current_") else f"{name}({arguments})"
    try:
        await db.prepare(f"SELECT {call}").raw()
    except D1Error as error:
        refusals = ("not authorized", "no such function")
        return next((text for text in refusals if text in str(error)), "known")
    return "known"


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_means_the_same(answers: dict[str, Any], sql: str) -> None:
    """Each line of d1_dialect.jsonl has the measured answer, or the one in DIFFERENCES."""
    judge("d1 dialect", "embedded", STATEMENTS[sql], answers[sql], DIFFERENCES.get(sql))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_known_or_refused_alike(answers: dict[str, Any], name: str) -> None:
    """Refused on a laptop is what D1 refuses, in the same words, and nothing else."""
    assert answers[name] == FUNCTIONS[name]
