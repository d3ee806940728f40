"""
The grammar of .dev.vars: what npm's `dotenv`, which wrangler reads it with, makes of a text.

Rule for rule the same, odd corners too: a value that begins with a quote and does not end with one
is the rest of its line. tests/properties/test_dotenv.py asks the original.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# JavaScript's \s, and its ends of lines for ^, $ and the dot: Python's differ.
_SPACE: Final = r"[\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
_SPACES: Final = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_BEGIN: Final = r"(?:^|(?<=[\n\r\u2028\u2029]))"
_END: Final = r"(?=[\n\r\u2028\u2029]|\Z)"
_ASSIGNMENT: Final = re.compile(
    rf"""
    {_BEGIN}{_SPACE}*
    (?P<whole>
        (?:export{_SPACE}+)?
        (?P<name>[A-Za-z0-9_.-]+)
        (?:{_SPACE}*={_SPACE}*?|:{_SPACE}+?)
        (?P<value>
            {_SPACE}*'(?:\\'|[^'])*' | {_SPACE}*"(?:\\"|[^"])*" | {_SPACE}*`(?:\\`|[^`])*`
            | [^\#\r\n]+
        )?
    )
    {_SPACE}*(?:\#[^\n\r\u2028\u2029]*)?{_END}
    """,
    re.VERBOSE,
)
_QUOTED: Final = re.compile(rf"""{_BEGIN}(['"`])([\s\S]*)\1{_END}""")


class Assignment(NamedTuple):
    """One assignment: *begin* and *end* are where it stands in the text."""

    name: str
    value: str
    begin: int
    end: int


def assignments(text: str) -> Iterator[Assignment]:
    """Yield the assignments of *text*, whose lines end with \\n alone, in their order."""
    for found in _ASSIGNMENT.finditer(text):
        raw = (found["value"] or "").strip(_SPACES)
        value = _QUOTED.sub(lambda quoted: quoted[2], raw)
        if raw.startswith('"'):
            value = value.replace("\\n", "\n").replace("\\r", "\r")
        yield Assignment(found["name"], value, *found.span("whole"))


def parse(text: str) -> dict[str, str]:
    """Return the values of *text*; of a name that stands there again, the last."""
    found = {one.name: one.value for one in assignments(unix_lines(text))}
    # In JavaScript this sets no entry.
    found.pop("__proto__", None)
    return found


def unix_lines(text: str) -> str:
    """Return *text* with \\n for every end of a line."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
