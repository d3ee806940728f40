"""
Cloudflare's own answers (golden/do.jsonl), replayed call by call on every adapter.

Each measured line is either answered alike, or stands in DIFFERENCES with our answer and the
reason, or in ABSENT with the reason why the call does not exist here.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from durable.contract import DataCloneError, DurableError
from tests.bindings import durable_sql_probe as durable_sql_probe
from tests.bindings.durable_calls import CALLS
from tests.bindings.durable_probe import CASES, Obj
from tests.bindings.durable_world import World, made_world
from tests.support.end_of_run import DIFFERS, PASSED, VERDICTS

world = made_world

LINES = {
    line[0]: line
    for line in map(
        json.loads, (Path(__file__).parent / "golden" / "do.jsonl").read_text().splitlines()
    )
}

# The Python class that stands for a JavaScript one.
CLASSES: dict[str, type[Exception]] = {
    "TypeError": TypeError,
    "Error": DurableError,
    "RangeError": ValueError,
    "DataCloneError": DataCloneError,
}

NOT_PLAIN = "A Python value is described in Python's words."
TWO_MB = "The measured runtime does not enforce Cloudflare's documented 2 MB; we do."
DIFFERENCES: dict[str, tuple[Any, str]] = {
    "id shape": (
        [64, "x", True, False],
        "Ids are ours: same shape, other digits; there is no jurisdiction.",
    ),
    "rpc args": (
        [
            *[1, "a", None, "«undefined»", "Date(1970-01-01T00:00:00.000Z)", "Uint8Array(1)[1]"],
            *[[1, {"b": 2}], {"«Set»": [1]}, 5],
        ],
        "Python's int is one type, and a regular expression is not plain data.",
    ),
    "rpc arg 33MB": (
        (
            ValueError,
            "Serialized RPC arguments or return values are limited to 32MiB, but the "  # noqa: ISC004
            "size of this value was: 34603016 bytes.",
        ),
        "The size is of the data itself, without the wire form's 12 bytes of framing.",
    ),
    "do:putFn": (
        (DataCloneError, r"<function get_missing at .*> could not be cloned\."),
        NOT_PLAIN,
    ),
    "do:val2_2m": ((ValueError, r"Values cannot be larger than 2097152 bytes\. .*"), TWO_MB),
    "do:val5m": ((ValueError, r"Values cannot be larger than 2097152 bytes\. .*"), TWO_MB),
    "do:sqlBindObj": (
        (TypeError, r"Type 'object' not supported for value '\{\}'"),
        "Storing the text [object Object] helps nobody.",
    ),
    "do:sqlBindArr": (
        {"a": "ArrayBuffer(2)[1,2]"},
        "A list of bytes is a BLOB, as in D1; at the edge it becomes the text 1,2.",
    ),
    "do:sqlNext": ([{"a": 1}, None], "Python's next() gives the row, or None after the last."),
    "do:sqlCfTable": (
        (DurableError, "access to _cf_KV.key is prohibited: SQLITE_AUTH"),
        "The measured object had no values yet, so no such table; ours is always there.",
    ),
}

NO_JURISDICTION = "Jurisdictions are not offered; the measured runtime refuses them as well."
NO_RECOVERY = "Point-in-time recovery is not offered; the measured runtime has none locally."
KV_BACKED = "Classes without SQLite are Cloudflare's legacy; every class here has SQLite."
ABSENT = {
    "newUniqueId jurisdiction eu": NO_JURISDICTION,
    "newUniqueId jurisdiction bad": NO_JURISDICTION,
    "ns.jurisdiction('eu')": NO_JURISDICTION,
    "get locationHint bad": "There is one location here.",
    "fetch relative url": "The request passes through untouched; its URL is the Worker's matter.",
    "rpc fn": "Functions are not plain data; a stub cannot be returned.",
    "do:txnSyncAsync": "A coroutine that nobody awaits is a warning in Python, not a result.",
    "do:bookmark": NO_RECOVERY,
    "do:bookmarkForTime": NO_RECOVERY,
    "do:tags": "Replayed step by step in test_durable_sockets.py.",
    "do:ctxKeys": "The names are Python's: durable/contract.py.",
    "kvdo:key2049": KV_BACKED,
    "kvdo:val128k": KV_BACKED,
    "kvdo:val130k": KV_BACKED,
    "kvdo:multi129put": KV_BACKED,
    "kvdo:sqlShapes": KV_BACKED,
    "kvdo:syncKv": KV_BACKED,
}


def replays() -> dict[str, Any]:
    """Return every line that can be replayed, by name."""
    return CALLS | {f"do:{name}": name for name in CASES}


async def answer(world: World, name: str) -> Any:
    """Replay the line *name*."""
    call = replays()[name]
    if isinstance(call, str):
        return await world.stub(Obj, "t").call("t", call)
    return await call(world)


def test_every_measured_line_is_accounted_for() -> None:
    """No line of the transcript is without a replay or a reason, and no reason is left over."""
    known = replays().keys() | ABSENT.keys()

    assert set(LINES) == known
    assert not replays().keys() & ABSENT.keys()
    assert set(LINES) >= DIFFERENCES.keys()


def without_times(value: Any) -> Any:
    """Replace epoch milliseconds, which are another day's, by a word."""
    if isinstance(value, list):
        return [without_times(v) for v in value]
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items()}
    return "time" if isinstance(value, int) and value > 1_700_000_000_000 else value


@pytest.mark.parametrize("name", [n for n in LINES if n not in ABSENT])
async def test_the_answer_is_the_measured_one(world: World, name: str) -> None:
    """The call answers as Cloudflare's runtime does, or differs in the way it is said to."""
    line = LINES[name]
    measured = line[2] if line[1] == "ok" else (CLASSES[line[2]], re.escape(line[3]))
    expected, _ = DIFFERENCES.get(name, (measured, ""))

    if isinstance(expected, tuple):
        kind, message = expected
        with pytest.raises(kind) as caught:
            await answer(world, name)
        assert re.fullmatch(message, str(caught.value)) or str(caught.value) == message
    else:
        assert without_times(await answer(world, name)) == without_times(expected)
    VERDICTS["durable", world.adapter, DIFFERS if name in DIFFERENCES else PASSED] += 1


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_absent_has_a_reason(name: str) -> None:
    """The call does not exist in the contract, on any adapter, and it is said why."""
    VERDICTS["durable", "embedded", DIFFERS] += 1
    assert ABSENT[name].endswith(".")


def test_differences_do_differ() -> None:
    """A line that is answered alike is not listed as a difference."""
    for name, (ours, reason) in DIFFERENCES.items():
        line = LINES[name]
        assert ours != line[2]
        assert reason, name
