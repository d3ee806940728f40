"""
SQL as text: cut into statements, count parameters, tell reads from writes.

SQLite tells none of this beforehand, and D1 needs all of it before a statement
runs: the number of parameters must fit exactly, only the
last of several statements may have any (facts: bindings.md B3), and a read
takes another way than a write.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import apsw

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

MAX_SQL_BYTES: Final = 100_000
"""Longest statement (Cloudflare's page of D1 limits)."""
TOO_LONG: Final = "statement too long: SQLITE_TOOBIG"

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

    @property
    def verb(self) -> str:
        """The first word, in upper case: SELECT, INSERT, PRAGMA, …"""
        return self.words[0] if self.words else ""

    @property
    def is_too_long(self) -> bool:
        """Whether D1 refuses it for its length."""
        return len(self.text) > MAX_SQL_BYTES // 4 and len(self.text.encode()) > MAX_SQL_BYTES

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
    return apsw.complete(text.replace("\0", " "))


def _describe_piece(text: str, tokens: list[tuple[str, str]]) -> StatementText:
    words = tuple(token.upper() for kind, token in tokens if kind == "word")
    count = _count_parameters([token for kind, token in tokens if kind == "parameter"])
    return StatementText(text, words, min(count, _MOST_PARAMETERS))


def _count_parameters(parameters: list[str]) -> int:
    """Return the greatest number of a parameter (sqlite.org/lang_expr.html, "Parameters")."""
    greatest = 0
    named: set[str] = set()
    for token in parameters:
        if token.startswith("?") and len(token) > 1:
            greatest = max(greatest, int(token[1:]))
        elif token not in named:
            greatest += 1
            if len(token) > 1:
                named.add(token)
    return greatest
