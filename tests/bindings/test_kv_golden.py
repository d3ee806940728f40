"""
The KV contract against what Cloudflare's simulator answers, call by call.

golden/kv.jsonl holds the answers. Every line is replayed on every adapter and
compared, or stands in DIFFERENCES with our answer and the reason.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.bindings import kv_probes_more
from tests.bindings.adapters import KV_ADAPTERS, START, Clock
from tests.bindings.golden_lines import Differs, judge, read_golden
from tests.bindings.kv_probes import PROBES, UNDEFINED, replay

assert kv_probes_more.__doc__  # imported for its probes

GOLDEN = read_golden("kv.jsonl")

_VALUE_KINDS = Differs(
    [
        "ERR",
        "TypeError",
        (
            "KV put() accepts only strings, bytes, bytearrays, memoryviews, and asynchronous "
            "iterables of bytes as values."
        ),
    ],
    "Python's types by their names; numbers, None and bool are refused because turning them "
    "into text hides a mistake",
)

DIFFERENCES = {
    "get json invalid": Differs(
        ["ERR", "SyntaxError", ("Expecting property name enclosed in double quotes: "
         "line 1 column 2 (char 1)")],
        "the text is that of Python's JSON parser; the class of failure is the same",
    ),
    "get type invalid": Differs(
        ["ERR", "TypeError", ("Unknown response type. Possible types are "
         '"text", "bytes", "json", and "stream".')],
        "an ArrayBuffer is bytes in Python",
    ),
    "put number value": _VALUE_KINDS,
    "put null value": _VALUE_KINDS,
    "put undefined value": _VALUE_KINDS,
    "put bool value": _VALUE_KINDS,
    "put object": _VALUE_KINDS,
    "put array": _VALUE_KINDS,
    "put numeric key": Differs(
        ["ERR", "TypeError", "Key name must be a str, not int."],
        "a number as key hides a mistake; write str(key)",
    ),
    "put ttl null": Differs(UNDEFINED, "None stands for an option that is left out"),
    "bulk get int-like keys": Differs(
        {"«Map»": [["42", "n"], ["a", "1"]]},
        "Cloudflare loses keys that look like integers; the contract promises every key",
    ),
    "get no args": Differs(
        ["ERR", "TypeError", "KVNamespace.get() missing 1 required positional argument: 'key'"],
        "Python itself answers",
    ),
    "put 1 arg": Differs(
        ["ERR", "TypeError", "KVNamespace.put() missing 1 required positional argument: 'value'"],
        "Python itself answers",
    ),
    "kv methods": Differs(
        ["get", "get_with_metadata", "get_many", "get_many_with_metadata", "list", "put",
         "put_many", "delete", "close"],
        "snake_case; bulk reads have names of their own, so that types are exact; put_many and "
        "close are ours",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=KV_ADAPTERS)
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any]]:
    """Every probe replayed once, in order, on one adapter."""

    async def all_probes(folder: Path) -> dict[str, Any]:
        kv = await KV_ADAPTERS[request.param](folder, Clock(START))
        try:
            return await replay(kv)
        finally:
            await kv.close()

    return request.param, asyncio.run(all_probes(tmp_path_factory.mktemp("kv")))


@pytest.mark.parametrize("name", GOLDEN)
def test_a_measured_line_is_answered_alike_or_differs_for_a_reason(
    answers: tuple[str, dict[str, Any]], name: str
) -> None:
    """Each line of kv.jsonl has the measured answer, or the one in DIFFERENCES."""
    adapter, ours = answers

    judge("kv", adapter, GOLDEN[name], ours[name], DIFFERENCES.get(name))


def test_every_line_is_accounted_for() -> None:
    """No measured line without a probe, no probe and no difference without a line."""
    assert set(PROBES) == set(GOLDEN)
    assert set(GOLDEN) >= set(DIFFERENCES)
