"""
The conformance suites through the edge adapters, in real workerd.

The same probes and the same measured lines as for the local stores; what differs besides has a row
here. The runtime is of November 2024, the answers were measured in 2026.
"""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.bindings import test_d1_golden as d1
from tests.bindings import test_kv_golden as kv
from tests.bindings import test_r2_golden as r2
from tests.bindings.adapters import Clock
from tests.bindings.golden_lines import Differs, judge
from tests.edge.remote import RemoteBucket, RemoteDatabase, RemoteNamespace
from tests.edge.workerd import Workerd

_NO_SESSIONS = Differs(
    ["ERR", "Error", "D1_ERROR: This runtime has no D1 sessions."],
    "D1 has sessions since 2025; the adapter opens them where the binding can",
)
_NOT_ALLOWED = Differs(
    ["ERR", "Error", "D1_ERROR: not authorized: SQLITE_AUTH"],
    "allowed since 2025",
)

KV_ROWS = {
    "cacheTtl 30": Differs(
        [
            "ERR",
            "Error",
            "KV GET failed: 400 Invalid cache_ttl of 30. Cache TTL must be at least 60.",
        ],
        "the minimum was 60 seconds until 2025",
    ),
}
_RESET = (
    "Durable Object was reset and rolled back to its last known good state because the "
    "application left the database in a state where constraints were violated: "
    "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT"
)
# Calls that overlap have no order, and here each has a connection of its own: who wins is open.
KV_RACES = {"concurrent put same key": {"1", "2", "3", "4", "5"}}
D1_ROWS = {
    "sql: PRAGMA table_list": Differs(
        lambda rows: {row["name"] for row in rows} <= {"p", "un", "c100", "u", "big", "ch"},
        "the order of the tables is SQLite's, and this one is older",
    ),
    "defer fk in batch unresolved": Differs(
        ["ERR", "Error", f"D1_ERROR: {_RESET}"],
        "the contract promises that a failure of D1 says so; the cause keeps the runtime's words",
    ),
    "dump": Differs(
        ["ERR", "AttributeError", "'RemoteDatabase' object has no attribute 'dump'"],
        "dead at Cloudflare too",
    ),
    "sql: PRAGMA optimize": _NOT_ALLOWED,
    "sql: PRAGMA page_size": _NOT_ALLOWED,
    "sql: CREATE VIRTUAL TABLE rt USING rtree(id,a,b)": _NOT_ALLOWED,
    "withSession() bookmark before": _NO_SESSIONS,
    "withSession first-primary": _NO_SESSIONS,
    "withSession('garbage')": _NO_SESSIONS,
    "withSession('')": _NO_SESSIONS,
}
_OPAQUE_CURSORS = "a cursor is opaque; the adapter wraps the bucket's own"
R2_ROWS: dict[str, tuple[str, Any]] = {
    "list limit 2 paging": (
        _OPAQUE_CURSORS,
        [
            [["l/a", "l/b/1"], True, "YkM5aUx6RT0="],
            [["l/b/2", "l/c"], True, "YkM5ag=="],
            [["l/d/x", "l/é"], False, None],
        ],
    ),
    "list bad cursor": ("what the contract cannot read as a cursor lists from the beginning", 31),
}
# Lines in which only the local store differs.
R2_AS_MEASURED = {"createMultipartUpload"}


def plain(answer: Any) -> Any:
    """Return *answer* without SQLite's extended code, which the runtime tells since 2025."""
    if isinstance(answer, list) and answer[:1] == ["ERR"]:
        return [*answer[:2], re.sub(r" \(extended: SQLITE_\w+\)$", "", answer[2])]
    return answer


@pytest.fixture(scope="session", params=["workerd", "pyodide"])
def place(request: pytest.FixtureRequest) -> tuple[str, Workerd]:
    """Where adapters run: real workerd (Python 3.12), and the current Pyodide (Python 3.14)."""
    started: Workerd = request.getfixturevalue(request.param)
    return {"workerd": "edge", "pyodide": "edge, 3.14"}[request.param], started


@pytest.fixture(scope="session")
def kv_answers(place: tuple[str, Workerd]) -> tuple[str, dict[str, Any]]:
    """Every KV probe replayed once, in order."""
    return place[0], asyncio.run(kv.replay(RemoteNamespace(place[1], Clock())))


@pytest.fixture(scope="session")
def d1_answers(place: tuple[str, Workerd]) -> tuple[str, dict[str, Any]]:
    """Every D1 probe replayed once, in order."""
    return place[0], asyncio.run(d1.replay(RemoteDatabase(place[1])))


@pytest.fixture(scope="session")
def r2_answers(workerd: Workerd) -> dict[str, list[Any]]:
    """Every R2 probe replayed once, in order."""

    async def opener(_folder: Path, clock: Any) -> RemoteBucket:
        return RemoteBucket(workerd, clock)

    return asyncio.run(r2.replay(opener, Path()))


@pytest.mark.parametrize("name", kv.GOLDEN)
def test_a_line_of_kv_is_answered_alike_or_differs_for_a_reason(
    kv_answers: tuple[str, dict[str, Any]], name: str
) -> None:
    """Each line of kv.jsonl has the measured answer, or the one in a row."""
    row = KV_ROWS.get(name) or kv.DIFFERENCES.get(name)
    adapter, answers = kv_answers
    ours = answers[name]
    if ours in KV_RACES.get(name, ()):
        ours = kv.GOLDEN[name]

    judge("kv", adapter, kv.GOLDEN[name], ours, row)


@pytest.mark.parametrize("name", d1.GOLDEN)
def test_a_line_of_d1_is_answered_alike_or_differs_for_a_reason(
    d1_answers: tuple[str, dict[str, Any]], name: str
) -> None:
    """Each line of d1.jsonl has the measured answer, or the one in a row."""
    row = D1_ROWS.get(name) or d1.DIFFERENCES.get(name)
    adapter, answers = d1_answers
    measured, ours = d1.masked(plain(d1.GOLDEN[name])), d1.masked(plain(answers[name]))

    judge("d1", adapter, measured, ours, row)


@pytest.mark.parametrize("name", r2.EXPECTED)
def test_a_line_of_r2_is_answered_alike_or_differs_for_a_reason(
    r2_answers: dict[str, list[Any]], name: str
) -> None:
    """Each line of r2.jsonl has the measured answer, or the one in a row."""
    measured = r2.EXPECTED[name]
    if measured[0] == "ok":
        measured = ["ok", r2.read_golden(measured[1])]
    row = None
    if name in R2_ROWS:
        row = Differs(["ok", R2_ROWS[name][1]], R2_ROWS[name][0])
    elif name in r2.DIFFERENCES and name not in R2_AS_MEASURED:
        row = Differs(r2.DIFFERENCES[name][1], r2.DIFFERENCES[name][0])

    judge("r2", "edge", measured, r2_answers[name], row)


def test_every_row_has_its_line() -> None:
    """No row stands for a line that is not there."""
    assert set(KV_ROWS) | set(KV_RACES) <= set(kv.GOLDEN)
    assert set(D1_ROWS) <= set(d1.GOLDEN)
    assert set(R2_ROWS) | R2_AS_MEASURED <= set(r2.EXPECTED)
