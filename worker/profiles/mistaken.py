"""What a body is that should be lines and is not: one sentence for who sent it."""

import json
import re
from typing import Any, Final

_ARRAY: Final = (
    "The body is a JSON array; an import takes one profile a line. "
    "Make lines of it: jq -c '.[]' FILE | edgekeep import -"
)
_DOCUMENT: Final = (
    "The body is a JSON document over several lines; an import takes one profile a line. "
    "Make lines of it: jq -c . FILE | edgekeep import -"
)
_STORAGE: Final = (
    "The body is a dump of a browser's localStorage: names with JSON as text. An import takes one "
    "profile a line. Make lines of it: "
    "jq -c '.[] | fromjson? | if type == \"array\" then .[] else . end' FILE | edgekeep import -"
)
_CSV: Final = (
    "The body is CSV; a profile is a nested JSON document and an import takes one a line, as "
    "docs/profiles.md shows. Write each row as such a line, then: edgekeep import FILE"
)
_NAME: Final = r'"?[A-Za-z_][\w .-]{0,63}"?'
_HEADER: Final = re.compile(rf"{_NAME}(?:(?:,{_NAME})+|(?:;{_NAME})+|(?:\t{_NAME})+)")
_TEXT_MEMBER: Final = re.compile(r'"(?:[^"\\]|\\.)*"\s*:\s*"\s*(?:\[|\{)')


def opens_array(line: bytes) -> bool:
    """Whether the first *line* opens an array whose elements follow on lines of their own."""
    return line == b"["


def sentence_for(first: bytes, second: bytes) -> str:
    """Return what a body without a valid line seems to be, by its first lines; "" if unknown."""
    start = first[:65_536].decode("utf-8", "replace")
    if start.startswith("["):
        return _ARRAY
    if start == "{":
        following = second[:4096].decode("utf-8", "replace")
        return _STORAGE if _TEXT_MEMBER.match(following) else _DOCUMENT
    if start.startswith("{"):
        return _STORAGE if _is_storage(first) else ""
    return _CSV if _HEADER.fullmatch(start) else ""


def _is_storage(line: bytes) -> bool:
    """Whether *line* is an object of texts, one of which is JSON again."""
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(found, dict)
        and all(isinstance(value, str) for value in found.values())
        and any(value.lstrip()[:1] in ("[", "{") for value in found.values())
    )
