"""
Measured lines beside our answers, and the table contract x adapter that comes of it.

A golden line is `[name, "ok", result]` or `[name, "ERR", class, message, cause?]`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.end_of_run import DIFFERS, MISSING, PASSED, VERDICTS

FOLDER = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Differs:
    """What we answer instead of the measured line, and why."""

    ours: Any
    """In golden notation: a result, or `["ERR", class, message]`; or a test of the answer."""
    why: str


def read_golden(name: str) -> dict[str, Any]:
    """Read a transcript: name of the line → result, or ["ERR", class, message]."""
    lines: dict[str, Any] = {}
    for text in (FOLDER / name).read_text("utf-8").splitlines():
        line = json.loads(text)
        assert line[0] not in lines, line[0]
        lines[line[0]] = line[2] if line[1] == "ok" else ["ERR", *line[2:4]]
    return lines


def comparable(answer: Any) -> Any:
    """
    Reduce an answer to what can be equal in two engines.

    Numbers compare as JavaScript has them.
    """
    if isinstance(answer, Mapping):
        return {key: comparable(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [comparable(value) for value in answer]
    if isinstance(answer, int) and not isinstance(answer, bool):
        return float(answer)
    return answer


def judge(
    contract: str, adapter: str, measured: Any, ours: Any, difference: Differs | None
) -> None:
    """Assert that *ours* is the measured answer, or the difference on purpose."""
    is_alike = comparable(measured) == comparable(ours)
    if difference is None:
        assert comparable(measured) == comparable(ours)
        VERDICTS[contract, adapter, PASSED] += 1
        return
    assert difference.why
    assert not is_alike, "no difference left: remove the row"
    if callable(difference.ours):
        assert difference.ours(ours), ours
    else:
        assert comparable(difference.ours) == comparable(ours)
    VERDICTS[contract, adapter, DIFFERS] += 1


def note_missing(contract: str, adapter: str, lines: int) -> None:
    """Note lines that cannot be replayed in Python at all."""
    VERDICTS[contract, adapter, MISSING] += lines
