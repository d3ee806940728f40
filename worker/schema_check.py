"""
The port to JSON Schema: does a document conform, and if not, why?

`PortableCheck` is pure Python and loads in Pyodide (fastjsonschema); the host accepts faster with
`NativeCheck` (worker/entry/native_schema.py) and explains with the one here, so that a report reads
alike everywhere. A test proves that both, and the reference library jsonschema, agree.
Formats are asserted, with the rules below and no others, so that all mean the same by "date".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Protocol

import fastjsonschema

from worker.limits import ERRORS_PER_LINE


@dataclass(frozen=True, slots=True)
class Violation:
    """
    One broken rule: *path* is a JSONPath (RFC 9535), *rule* the keyword in snake case.

    *message* is for a person and is made from the schema alone: it never quotes the document.
    """

    path: str
    rule: str
    message: str


class SchemaCheck(Protocol):
    """A checker for one schema."""

    def accepts(self, document: Any) -> bool:
        """Say whether *document* conforms."""

    def explain(self, document: Any) -> list[Violation]:
        """Return what is wrong with *document*; empty exactly when it conforms."""


# Dates repeat in real data, so their verdicts are remembered.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
# RFC 3986: a scheme and allowed characters. A page may show what stands here, so the schemes that
# run script are refused, and `data:` is for images only.
_URI = re.compile(
    r"(?!javascript:|vbscript:|data:(?!image/))[a-z][a-z0-9+.-]*:"
    r"(?:[a-z0-9._~!$&'()*+,;=:@/?#\[\]-]|%[0-9a-f]{2})+",
    re.ASCII | re.IGNORECASE,
)


def is_date(text: str) -> bool:
    """RFC 3339 full-date that exists in the calendar."""
    return _DATE.fullmatch(text) is not None and _exists(text)


@lru_cache(maxsize=4096)
def _exists(text: str) -> bool:
    # What is remembered is ten characters long: anybody may write a date of a megabyte.
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_date_time(text: str) -> bool:
    """RFC 3339 date-time; its date exists in the calendar."""
    match = _DATE_TIME.fullmatch(text)
    return match is not None and is_date(match[1])


def is_uri(text: str) -> bool:
    """A URI (RFC 3986) whose scheme cannot run script."""
    return _URI.fullmatch(text) is not None


FORMATS: dict[str, Callable[[str], bool]] = {
    "date": is_date,
    "date-time": is_date_time,
    "uri": is_uri,
}


class PortableCheck:
    """The implementation in pure Python."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._verdict: Callable[[Any], Any] | None = None
        self._every: Callable[[Any], Any] | None = None

    def accepts(self, document: Any) -> bool:
        """Say whether *document* conforms."""
        if self._verdict is None:
            self._verdict = self._compile(fast_fail=True)
        try:
            self._verdict(document)
        except fastjsonschema.JsonSchemaException:
            return False
        return True

    def explain(self, document: Any) -> list[Violation]:
        """
        Return the violations in the order of the schema.

        Of an array only the first entries are explained, unless the fault lies behind them: one
        line can hold forty thousand faults, and telling them all takes seconds.
        """
        if self._every is None:
            self._every = self._compile(fast_fail=False)
        return _told_by(self._every, _shortened(document)) or (
            [] if self.accepts(document) else _told_by(self._verdict, document)
        )

    def _compile(self, *, fast_fail: bool) -> Callable[[Any], Any]:
        # Defaults would be written into the document: a check must not change what it checks.
        compiled: Callable[[Any], Any] = fastjsonschema.compile(
            self._schema, formats=FORMATS, use_default=False, fast_fail=fast_fail
        )
        return compiled


def _told_by(check: Callable[[Any], Any] | None, document: Any) -> list[Violation]:
    """Run a compiled *check* and return what it raises as violations."""
    try:
        if check is not None:
            check(document)
    except fastjsonschema.JsonSchemaValuesException as errors:
        return [violation for error in errors.errors for violation in _violations(error)]
    except fastjsonschema.JsonSchemaValueException as error:
        return _violations(error)
    return []


def _shortened(value: Any, levels: int = 8) -> Any:
    """
    Return a copy whose arrays end after the entries that a report would show.

    Below *levels*, deeper than any schema of ours looks, everything stays.
    """
    if levels and isinstance(value, dict):
        return {name: _shortened(inner, levels - 1) for name, inner in value.items()}
    if levels and isinstance(value, list):
        return [_shortened(inner, levels - 1) for inner in value[:ERRORS_PER_LINE]]
    return value


def json_path(steps: list[str | int]) -> str:
    """Write *steps* as a JSONPath, e.g. $.profile.intent.expectations[0]."""
    return "$" + "".join(f"[{s}]" if isinstance(s, int) else f".{printable(s)}" for s in steps)


def printable(name: str) -> str:
    """Return a member name that is safe to show: odd or long ones are only said to be odd."""
    return name if re.fullmatch(r"[A-Za-z0-9_$-]{1,40}", name) else "(unprintable name)"


def _violations(error: fastjsonschema.JsonSchemaValueException) -> list[Violation]:
    """Turn one failed keyword into violations: one for each missing or unknown member."""
    path = json_path([int(step) if step.isdecimal() else step for step in error.path[1:]])
    if error.rule == "required":
        missing = [name for name in error.rule_definition if name not in error.value]
        return [Violation(f"{path}.{name}", "required", f"{name} is missing") for name in missing]
    if error.rule == "additionalProperties":
        unknown = [printable(n) for n in error.value if n not in error.definition["properties"]]
        return [
            Violation(f"{path}.{name}", "additional_properties", f"{name} is not a known member")
            for name in unknown
        ]
    keyword = str(error.rule)
    return [Violation(path, snake_case(keyword), _text(keyword, error.rule_definition))]


def snake_case(keyword: str) -> str:
    """Write a JSON Schema keyword as the import reports do: minItems -> min_items."""
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), keyword)


_TEXTS = {
    "minimum": "it must be at least {}",
    "maximum": "it must be at most {}",
    "minLength": "it must have at least {} characters",
    "maxLength": "it must have at most {} characters",
    "minItems": "it must have at least {} entries",
    "pattern": "it must match {}",
    "format": "it is not a valid {}",
    "const": "it must be {}",
}


def _text(keyword: str, expected: Any) -> str:
    if keyword == "enum":
        return "it must be one of " + ", ".join(map(str, expected))
    if keyword == "type":
        names = [expected] if isinstance(expected, str) else expected
        return "it must be of type " + " or ".join(names)
    return _TEXTS.get(keyword, f"it breaks the rule {keyword}").format(expected)
