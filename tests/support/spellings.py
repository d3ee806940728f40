"""Strategies: one JSON document in its many spellings, with members hidden under others."""

import json
from typing import Any

from hypothesis import strategies as st

_BLANKS = st.sampled_from(["", "", "", "", " ", "  ", "\t", "\r", " \t"])
# What looks like a member inside a text.
TRICKS = st.sampled_from(
    [
        'x","birthday":"1990-01-01',
        '"birthday":"1990-05-06"',
        "birthday",
        '"birthday"',
        '":',
        '\\":',
        '\\"birthday\\":\\"',
        '"',
        "\\",
        '\\"',
        ',"birthday" : "x"',
        "\t\r",
        "\u2028",
        "\0",
        "😀",
        "é",
        "}",
    ]
)


@st.composite
def spellings(draw: st.DrawFn, document: dict[str, Any], *, hidden: bool = True) -> str:
    """
    Write *document* with odd blanks, escapes where none are needed, and (if *hidden*) members that
    a reader drops because their name stands again behind them.
    """
    plain = draw(st.booleans())
    blanks = st.just("") if plain else _BLANKS

    def text(value: str) -> str:
        written = json.dumps(value, ensure_ascii=draw(st.booleans()))
        if value and not plain and draw(st.integers(0, 6)) == 0 and value[0].isalpha():
            written = f'"\\u{ord(value[0]):04x}' + written[2:] if value[0].isascii() else written
        return written

    def write(value: Any) -> str:
        if isinstance(value, dict):
            members = [(name, write(inner)) for name, inner in value.items()]
            if hidden and draw(st.integers(0, 8)) == 0:
                name = draw(st.sampled_from(list(value)))
                junk = draw(st.sampled_from(['"junk"', "{}", '{"evil":"<x>"}', "[1,2]", "null"]))
                members.insert(draw(st.integers(0, list(value).index(name))), (name, junk))
            body = ",".join(
                f"{draw(blanks)}{text(name)}{draw(blanks)}:{draw(blanks)}{inner}{draw(blanks)}"
                for name, inner in members
            )
            return "{" + body + "}"
        if isinstance(value, list):
            return "[" + ",".join(draw(blanks) + write(one) + draw(blanks) for one in value) + "]"
        return text(value) if isinstance(value, str) else json.dumps(value)

    return draw(blanks) + write(document) + draw(blanks)
