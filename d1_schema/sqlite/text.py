"""
SQL as text: cut into statements, count parameters, tell reads from writes.

SQLite offers none of this through Python's `sqlite3`, and D1 needs all of it
before a statement runs: the number of parameters must fit exactly, only the
last of several statements may have any (facts: bindings.md B3), and a read
takes another way than a write.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

# One token of SQL, by the rules of SQLite's own tokenizer (sqlite.org/lang_expr.html).
# An unterminated string or comment runs to the end of the text, as in SQLite.
_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*(?:\n|\Z) | /\*.*?(?:\*/|\Z))
    | (?P<quoted>'(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z)
               | \[[^\]]*(?:\]|\Z))
    | (?P<parameter>\?\d* | [:@$][A-Za-z0-9_$\u0080-\U0010ffff]+(?:::[A-Za-z0-9_$]+)*)
    | (?P<word>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)
    | (?P<number>\.?\d[A-Za-z0-9_.]*)
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_WRITING_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_READING_WORDS = frozenset({"SELECT", "VALUES", "EXPLAIN"})
_MOST_PARAMETERS = 1000  # far beyond D1's 100: SQLite itself says "too many"
_READING_PRAGMAS = frozenset(
    {"TABLE_LIST", "TABLE_INFO", "TABLE_XINFO", "INDEX_LIST", "INDEX_INFO", "INDEX_XINFO"}
    | {"FOREIGN_KEY_LIST", "FOREIGN_KEY_CHECK", "QUICK_CHECK", "DATA_VERSION", "PAGE_SIZE"}
)
TRANSACTION_WORDS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"})


@dataclass(frozen=True, slots=True)
class StatementText:
    """One statement: its text, its words, its parameters."""

    text: str
    """As the user wrote it, leading comments included."""
    words: tuple[str, ...]
    """Bare words in upper case, in order; strings and comments left out."""
    parameter_count: int
    """How many values it takes: the greatest number of a parameter."""
    names: tuple[tuple[str, int], ...]
    """Name and position of each parameter; empty where all are plain "?"."""

    @property
    def verb(self) -> str:
        """The first word, in upper case: SELECT, INSERT, PRAGMA, …"""
        return self.words[0] if self.words else ""

    @property
    def writes(self) -> bool:
        """
        Whether the statement may write.

        A WITH may lead to any of four verbs, so one of the writing words
        anywhere in it counts. A read taken for a write is only slower.
        """
        if self.verb == "WITH":
            return not _WRITING_WORDS.isdisjoint(self.words)
        if self.verb == "PRAGMA":
            return _READING_PRAGMAS.isdisjoint(self.words) and not self._is_bare_pragma
        return self.verb not in _READING_WORDS

    @property
    def _is_bare_pragma(self) -> bool:
        # `PRAGMA foreign_keys` asks, `PRAGMA foreign_keys = 1` and `(1)` set.
        return not ("=" in self.text or "(" in self.text or "OPTIMIZE" in self.words)


def split_statements(sql: str) -> list[str]:
    """
    Cut *sql* after each complete statement.

    Quotes, comments and the body of CREATE TRIGGER are respected (the verdict is
    SQLite's own `sqlite3_complete`). Each piece keeps its semicolon; white space
    around the pieces is dropped, and so is a rest of white space. A piece may
    hold no statement at all (a comment, a lone semicolon): D1 refuses such a
    piece, migrations pass over it, so the choice is the caller's.
    """
    return [text for text, _ in _pieces(sql)]


def parse_statements(sql: str) -> list[StatementText]:
    """Cut *sql* as `split_statements` does and describe each piece."""
    return [_describe_piece(text, tokens) for text, tokens in _pieces(sql)]


def has_statement(sql: str) -> bool:
    """Whether *sql* holds anything besides space, comments and semicolons."""
    return any(m.lastgroup not in ("space", "comment", "end") for m in _TOKEN.finditer(sql))


def _pieces(sql: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    start = 0
    tokens: list[tuple[str, str]] = []
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        if kind in ("word", "parameter", "number", "quoted", "other"):
            tokens.append((kind, match.group()))
        if kind == "end" and _is_complete(sql[start : match.end()], tokens):
            yield sql[start : match.end()].strip(), tokens
            start = match.end()
            tokens = []
    rest = sql[start:].strip()
    if rest:
        yield rest, tokens


def _is_complete(text: str, tokens: list[tuple[str, str]]) -> bool:
    # Only CREATE … TRIGGER holds semicolons inside; asking SQLite for nothing else
    # keeps a long script of plain statements linear, and NUL never reaches it.
    words = [t.upper() for kind, t in tokens[:5] if kind == "word"]
    if "TRIGGER" not in words:
        return True
    return sqlite3.complete_statement(text.replace("\0", " "))


def _describe_piece(text: str, tokens: list[tuple[str, str]]) -> StatementText:
    words = tuple(token.upper() for kind, token in tokens if kind == "word")
    parameters = [token for kind, token in tokens if kind == "parameter"]
    if all(len(parameter) == 1 for parameter in parameters):
        return StatementText(text, words, len(parameters), ())
    return _bound_by_name(text, words, parameters)


def _bound_by_name(text: str, words: tuple[str, ...], parameters: list[str]) -> StatementText:
    """
    Describe a statement with numbered or named parameters.

    D1 binds them by position; Python's sqlite3 (an error from 3.14 on) only by name,
    and cannot pass over a gap (`?1, ?3`) or a plain "?" among the names. There the
    text is changed: each number becomes a name.
    """
    numbers = _numbered(parameters)
    count = max(number for _, number in numbers)
    bare_names = {token[1:]: number for token, number in numbers}
    has_gap = len({number for _, number in numbers}) < count
    if "?" in parameters or has_gap or any(bare_names[t[1:]] != n for t, n in numbers):
        places = iter(numbers)
        text = _TOKEN.sub(
            lambda m: m.group() if m.lastgroup != "parameter" else f":edgekeep{next(places)[1]}",
            text,
        )
        bare_names = {f"edgekeep{number}": number for _, number in numbers}
    names = tuple((name, number - 1) for name, number in bare_names.items())
    return StatementText(text, words, min(count, _MOST_PARAMETERS), names)


def _numbered(parameters: list[str]) -> list[tuple[str, int]]:
    """Give each parameter its number (sqlite.org/lang_expr.html, "Parameters")."""
    greatest = 0
    known: dict[str, int] = {}
    numbered: list[tuple[str, int]] = []
    for token in parameters:
        if len(token) == 1:
            number = greatest + 1
        elif token.startswith("?"):
            number = int(token[1:])
        else:
            number = known.setdefault(token, greatest + 1)
        greatest = max(greatest, number)
        numbered.append((token, number))
    return numbered
