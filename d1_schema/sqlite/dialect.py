"""
SQLite behaving like D1: limits, permissions, values and error texts.

Everything here is about one plain connection; who runs it where is not
decided here. D1 and the SQL storage of Durable Objects share it, because at
Cloudflare they share it too. Source: facts/bindings.md B2 to B7 (measured).
"""

import re
from pathlib import Path
from typing import Final

import apsw

from d1_schema.sqlite.authority import TRANSACTION_REFUSED, Authority
from d1_schema.sqlite.engine import Connection, Error, connect
from d1_schema.values import MAX_VALUE_BYTES

# A row of one value at the limit also has a header; SQLite counts both.
_ROW_HEADER_ROOM: Final = 1024

LIMITS: Final = {
    apsw.SQLITE_LIMIT_COLUMN: 100,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 100,
    apsw.SQLITE_LIMIT_COMPOUND_SELECT: 5,
    apsw.SQLITE_LIMIT_VDBE_OP: 25_000,
    apsw.SQLITE_LIMIT_FUNCTION_ARG: 127,
    apsw.SQLITE_LIMIT_ATTACHED: 0,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    apsw.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
}


def open_connection(
    path: Path | str,
    *,
    wait_seconds: float = 5.0,
    autocheckpoint_pages: int = 1000,
    is_limited: bool = True,
) -> Connection:
    """
    Open *path* as a database that survives kill -9 after each commit.

    WAL with synchronous=NORMAL does not lose a committed transaction when the
    process dies; only a power cut may lose the last ones, never tear them.

    Args:
        wait_seconds: how long to wait for a lock of another connection.
        autocheckpoint_pages: 0 leaves checkpoints to the caller.
        is_limited: apply D1's `LIMITS` (off for stores that are not D1).

    Raises:
        Error: the file cannot be opened or is not a database.
    """
    connection = connect(path, wait_seconds=wait_seconds)
    try:
        connection.execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; "
            f"PRAGMA wal_autocheckpoint = {autocheckpoint_pages:d}; PRAGMA temp_store = MEMORY"
        ).fetchall()
        if is_limited:
            limit(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def limit(connection: Connection, *, longest_row: int = MAX_VALUE_BYTES + _ROW_HEADER_ROOM) -> None:
    """Give *connection* the limits of D1, with rows of at most *longest_row* bytes."""
    for name, value in LIMITS.items():
        connection.limit(name, value)
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, longest_row)


def error_codes(error: Exception) -> tuple[str, str]:
    """Return the names of the plain and the extended code; the second "" if none."""
    # Errors that SQLite has not seen (made by apsw or by us) have no numbers.
    plain = apsw.mapping_result_codes.get(getattr(error, "result", 1), "SQLITE_ERROR")
    extended = apsw.mapping_extended_result_codes.get(getattr(error, "extendedresult", 0), "")
    return str(plain), str(extended)


def describe(error: Error, authority: Authority | None = None) -> str:
    """
    Say *error* in the words of D1, without its prefix "D1_ERROR: ".

    For example "UNIQUE constraint failed: un.a: SQLITE_CONSTRAINT (extended:
    SQLITE_CONSTRAINT_UNIQUE)". With *authority*, a refusal speaks with D1's words.
    """
    refusal = authority.take_refusal() if authority is not None else None
    offset = getattr(error, "error_offset", -1)
    place = f" at offset {offset}" if offset >= 0 else ""
    if refusal is not None and re.search("not authorized|prohibited", str(error)):
        return refusal if refusal == TRANSACTION_REFUSED else f"{refusal}{place}: SQLITE_ERROR"
    plain, extended = error_codes(error)
    return f"{error}{place}: {plain}" + (f" (extended: {extended})" if extended else "")
