"""
SQL as people keep it in files: dumps of sqlite3, texts from Windows, many statements of many lines.

A file is run as one batch, all or none, so its own transactions say nothing new: BEGIN and COMMIT
that belong together fall away. What `sqlite3 .dump` writes besides is said as D1 takes it.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from d1_schema.contract import D1Error
from d1_schema.sqlite.text import has_statement, parse_statements

# The longer mark first: that of UTF-16 begins that of UTF-32.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, ""),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LEADING: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_OFFSET: Final = re.compile(r" at offset ([0-9]+)")
_NO_KEYS: Final = re.compile(r"PRAGMA\s+foreign_keys\s*=\s*(?:OFF|0|NO|FALSE)\s*;", re.IGNORECASE)
# A literal, or a call that writes control characters (sqlite3 from 3.50 on; D1 lacks the function).
_UNISTR: Final = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\bunistr\(('(?:[^']|'')*')\)""", re.IGNORECASE
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-9a-fA-F]{4})|(\\))")
_KEYS: Final = ("PRAGMA", "FOREIGN_KEYS")
_TABLES: Final = (("CREATE", "TABLE"), ("DROP", "TABLE"))
_SHOWN: Final = 60


class NotSql(ValueError):  # noqa: N818 - what the file is
    """A sentence: the file cannot be read as text."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a file, its *number* from 1 on and the *line* it begins in."""

    text: str
    number: int
    line: int

    def place(self, error: D1Error) -> str:
        """Say where *error* is, for a person."""
        start = _LEADING.match(self.text)
        begin = start.end() if start else 0
        found = _OFFSET.search(str(error))
        offset = int(found[1]) if found else 0
        before = self.text.encode()[:offset].decode(errors="replace")
        line = self.line + max(before.count("\n") - self.text.count("\n", 0, begin), 0)
        head = self.text[begin:].partition("\n")[0].strip()
        shown = head if len(head) <= _SHOWN else head[: _SHOWN - 1] + "…"
        return f"line {line}, in statement {self.number}: {shown}"


def read_sql(path: Path) -> str:
    """
    Return the text of *path*: UTF-8, or UTF-16 with its mark, as editors on Windows write it.

    Raises OSError; `NotSql` for every other encoding, which would be a guess.
    """
    data = path.read_bytes()
    mark, encoding = next((row for row in _MARKS if data.startswith(row[0])), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding or "ascii")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotSql(f"{path}: line {line} is not UTF-8. Save the file as UTF-8.") from None
    if "\0" in text:
        raise NotSql(f"{path} is not UTF-8 (UTF-16 without its mark, perhaps). Save it as UTF-8.")
    return text.replace("\r\n", "\n")


def statements_of(sql: str) -> list[Statement]:
    """
    Cut *sql* into statements, without the empty ones, each as D1 takes it.

    BEGIN … COMMIT are taken off; a BEGIN without its end stays, for D1 to refuse.
    """
    pieces = list(_placed(sql))
    words = [parse_statements(piece.text)[0].words[:2] for piece in pieces]
    framing = _framing(words)
    first_begin = min(framing, default=0)
    found: list[Statement] = []
    tables: list[Statement] = []
    is_without_keys = False
    for position, (piece, pair) in enumerate(zip(pieces, words, strict=True)):
        if position in framing:
            continue
        text = piece.text
        if position < first_begin and pair == _KEYS:
            # It does nothing inside of a transaction, and D1 has keys always.
            text, times = _NO_KEYS.subn("PRAGMA defer_foreign_keys = ON;", text)
            is_without_keys |= bool(times)
        if "unistr(" in text.lower():
            text = _UNISTR.sub(_as_literal, text)
        # A dump names children before their parents: rows wait for all tables to be there.
        is_early = is_without_keys and (pair in _TABLES or pair == _KEYS)
        (tables if is_early else found).append(Statement(text, piece.number, piece.line))
    return tables + found


def say(statements: list[Statement], error: D1Error) -> str:
    """Say *error*, with line and statement when they are known."""
    if error.statement is None or error.statement >= len(statements):
        return str(error)
    return f"{error} ({statements[error.statement].place(error)})"


def _placed(sql: str) -> Iterator[Statement]:
    end = number = 0
    line = 1
    for piece in parse_statements(sql):
        begin = sql.index(piece.text, end)
        line += sql.count("\n", end, begin)
        end = begin + len(piece.text)
        if has_statement(piece.text):
            number += 1
            leading = _LEADING.match(piece.text)
            skipped = piece.text.count("\n", 0, leading.end() if leading else 0)
            yield Statement(piece.text, number, line + skipped)
        line += piece.text.count("\n")


def _framing(words: list[tuple[str, ...]]) -> set[int]:
    """Return the positions of the BEGIN and COMMIT that belong together; none when one is alone."""
    found: set[int] = set()
    is_open = False
    for position, pair in enumerate(words):
        verb = pair[0] if pair else ""
        if verb == "BEGIN" or verb in ("COMMIT", "END"):
            if is_open == (verb == "BEGIN"):
                return set()
            is_open = verb == "BEGIN"
            found.add(position)
        elif verb == "ROLLBACK":
            return set()
    return set() if is_open else found


def _as_literal(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    return _ESCAPE.sub(
        lambda one: "\\" if one[4] else chr(int(one[1] or one[2] or one[3], 16)), found[1]
    )
