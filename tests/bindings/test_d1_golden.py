"""
The D1 contract against what Cloudflare's simulator answers, call by call.

golden/d1.jsonl holds the answers. Every line is replayed on every adapter and
compared, or stands in DIFFERENCES with our answer and the reason.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.bindings import d1_probes_more
from tests.bindings.adapters import D1_ADAPTERS
from tests.bindings.d1_probes import PROBES, masked, replay
from tests.bindings.golden_lines import Differs, judge, read_golden

assert d1_probes_more.__doc__  # imported for its probes

GOLDEN = read_golden("d1.jsonl")

_PYTHON_TEXT = "the value is written as Python writes it"
_TOO_BIG = Differs(
    ["ERR", "Error", "D1_ERROR: string or blob too big: SQLITE_TOOBIG"],
    "production takes 2,000,000 bytes (Cloudflare's page of limits); the simulator lets more pass",
)


def _type_error(kind: str, value: str, why: str = _PYTHON_TEXT) -> Differs:
    text = f"D1_TYPE_ERROR: Type '{kind}' not supported for value '{value}'"
    return Differs(["ERR", "Error", text], why)


DIFFERENCES = {
    "bind undefined": Differs([{"?": None}], "Python has None only, and None binds as NULL"),
    "bind object": _type_error("object", "{'a': 1}"),
    "bind bigint": _type_error(
        "bigint", str(2**53), "an int is a number while JavaScript can hold it exactly"
    ),
    "bind Date": _type_error("object", "1970-01-01 00:00:00+00:00"),
    "bind symbol/function": _type_error("function", "<built-in function print>"),
    "bind array >255": _type_error("object", "[1, 256]"),
    "bind array strings": _type_error("object", "['a']"),
    "bind Int16Array": Differs(
        {"a": [1, 0, 44, 1], "t": "blob", "h": "01002C01"},
        "a memoryview is its bytes; JavaScript takes the elements modulo 256",
    ),
    "string 2.1MB": _TOO_BIG,
    "string 4.2MB": _TOO_BIG,
    "zeroblob 5MB": _TOO_BIG,
    "defer fk in batch unresolved": Differs(
        [
            "ERR",
            "Error",
            (
                "D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT "
                "(extended: SQLITE_CONSTRAINT_FOREIGNKEY)"
            ),
        ],
        "the simulator's object is reset; here only the batch fails, and nothing of it is kept",
    ),
    "sql: SELECT last_insert_rowid() a, changes() b, total_changes() c": Differs(
        lambda rows: set(rows[0]) == {"a", "b", "c"},
        "counts of one connection, and there are several; meta has the database's",
    ),
    "sql: SELECT name FROM sqlite_master LIMIT 3": Differs(
        [{"name": "u"}, {"name": "ti"}, {"name": "st"}],
        "there is no hidden table _cf_METADATA in the file",
    ),
    "batch of non statements": Differs(
        ["ERR", "TypeError", "batch() takes statements made by prepare(), not str"],
        "a text for people in place of a stack trace",
    ),
    "prepare non-string": Differs(
        ["ERR", "TypeError", "prepare() takes SQL as str, not int"],
        "a text for people in place of a stack trace",
    ),
    "withSession first-primary": Differs(
        [None, "«read»", "«written»", True, "undefined", "undefined", "function"],
        "bookmarks are opaque; the later one is greater, and that is what is compared",
    ),
    "dump": Differs(
        ["ERR", "AttributeError", "'EmbeddedDatabase' object has no attribute 'dump'"],
        "dead at Cloudflare too",
    ),
    "statement props": Differs(["parameters", "sql"], "names of Python"),
    "d1 methods": Differs(
        [
            ["batch", "close", "exec", "prepare", "with_session"],
            ["all", "bind", "first", "raw", "run"],
            ["batch", "get_bookmark", "prepare"],
        ],
        "snake_case, close() is ours, and the experimental query() is left out",
    ),
}


@pytest.fixture(scope="module", params=D1_ADAPTERS)
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any]]:
    """Every probe replayed once, in order, on one adapter."""

    async def all_probes(folder: Path) -> dict[str, Any]:
        db = await D1_ADAPTERS[request.param](folder)
        try:
            return await replay(db)
        finally:
            await db.close()

    return request.param, asyncio.run(all_probes(tmp_path_factory.mktemp("d1")))


@pytest.mark.parametrize("name", GOLDEN)
def test_a_measured_line_is_answered_alike_or_differs_for_a_reason(
    answers: tuple[str, dict[str, Any]], name: str
) -> None:
    """Each line of d1.jsonl has the measured answer, or the one in DIFFERENCES."""
    adapter, ours = answers

    judge("d1", adapter, masked(GOLDEN[name]), masked(ours[name]), DIFFERENCES.get(name))


def test_every_line_is_accounted_for() -> None:
    """No measured line without a probe, no probe and no difference without a line."""
    assert set(PROBES) == set(GOLDEN)
    assert set(GOLDEN) >= set(DIFFERENCES)
