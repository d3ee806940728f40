"""Judges one line of an import: a profile to store, or what is wrong with it."""

import json
from typing import Any

from d1_schema.schemas import load_schema
from worker.env import Env
from worker.profiles.model import V1, V2, VERSIONS, keeps_its_text
from worker.profiles.store import Row
from worker.schema_check import Violation

_TOO_LONG = [Violation("$", "line_too_large", "the line has more than 131,072 bytes")]
_NOT_UTF8 = [Violation("$", "json_parse_error", "the line is not valid UTF-8")]
_NOT_A_NUMBER = [Violation("$", "json_parse_error", "not valid JSON: a number is not one")]
_TOO_DEEP = [Violation("$", "json_parse_error", "the line is nested too deeply")]
_HALF_PAIR = [
    Violation("$", "json_parse_error", "a \\u escape in the line is half of a surrogate pair")
]
_NO_RULE = [Violation("$", "validation", "the line does not conform to the schema")]


def _no_constant(_name: str) -> Any:
    # Python's reader takes NaN and Infinity; JSON (RFC 8259) has no such numbers.
    raise ValueError("NaN and Infinity are not JSON")


def _not_json(what: str, position: int) -> list[Violation]:
    message = f"not valid JSON: {what} at column {position + 1}"
    return [Violation("$", "json_parse_error", message)]


class Judge:
    """Holds what is slow to make: the JSON reader and writer and the compiled schemas."""

    def __init__(self, env: Env) -> None:
        # Not `decode`, which looks for blanks at both ends: a line has none.
        self._read = json.JSONDecoder(parse_constant=_no_constant).raw_decode
        self._write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
        self._checks = {name: env.tools.schema_check(load_schema(name)) for name in VERSIONS}
        self._v1 = self._checks[V1]

    def judge(self, line: bytes | None, *, explain: bool = True) -> Row | list[Violation]:
        """
        Return the row to store, or the violations. None stands for a line that is too long.

        Without *explain* a line that breaks the schema gets one violation that says only so:
        explaining costs fifty times as much as the verdict.
        """
        if line is None:
            return _TOO_LONG
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return _NOT_UTF8
        try:
            document, end = self._read(text)
            if end != len(text):
                return _not_json("extra data", end)
        except json.JSONDecodeError as error:
            # Some of Python's messages end in "at" already: "unterminated string starting at".
            return _not_json(error.msg.lower().removesuffix(" at"), error.pos)
        except ValueError:
            return _NOT_A_NUMBER
        except RecursionError:
            return _TOO_DEEP
        check = self._v1
        if type(document) is dict and document.get("schema_version") == V2:
            check = self._checks[V2]
        if not check.accepts(document):
            return (check.explain(document) if explain else None) or _NO_RULE
        if keeps_its_text(text, document):
            return Row(document["profile_id"], text)
        return self._rewritten(document)

    def _rewritten(self, document: dict[str, Any]) -> Row | list[Violation]:
        text = self._write(document)
        try:
            text.encode()
        except UnicodeEncodeError:
            return _HALF_PAIR
        return Row(document["profile_id"], text)
