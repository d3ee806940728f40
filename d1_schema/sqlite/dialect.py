"""
SQLite behaving like D1: limits, permissions, values and error texts.

Everything here is about one plain `sqlite3` connection; who runs it where is not
decided here. D1 and the SQL storage of Durable Objects share it, because at
Cloudflare they share it too. Source: facts/bindings.md B2 to B7 (measured).
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from d1_schema.sqlite.authority import Authority, install_authorizer
from d1_schema.sqlite.text import split_statements
from d1_schema.values import MAX_SAFE_INTEGER, MAX_VALUE_BYTES
from d1_schema.values import from_plain as from_sqlite
from d1_schema.values import to_plain as to_sqlite

__all__ = [
    "LIMITS",
    "MAX_SAFE_INTEGER",
    "MAX_VALUE_BYTES",
    "Authority",
    "describe",
    "error_codes",
    "from_sqlite",
    "install_authorizer",
    "open_connection",
    "split_statements",
    "to_sqlite",
]

# A row of one value at the limit also has a header; SQLite counts both.
_ROW_HEADER_ROOM: Final = 1024

LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_VALUE_BYTES + _ROW_HEADER_ROOM,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 5,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 127,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
}


def open_connection(
    path: Path | str,
    *,
    timeout: float = 5.0,
    autocheckpoint_pages: int = 1000,
    is_limited: bool = True,
    is_shared: bool = False,
) -> sqlite3.Connection:
    """
    Open *path* as a database that survives kill -9 after each commit.

    WAL with synchronous=NORMAL does not lose a committed transaction when the
    process dies; only a power cut may lose the last ones, never tear them.

    Args:
        timeout: seconds to wait for a lock of another connection.
        autocheckpoint_pages: 0 leaves checkpoints to the caller.
        is_limited: apply D1's `LIMITS` (off for stores that are not D1).
        is_shared: the connection is opened in one thread and used in another.

    Raises:
        sqlite3.Error: the file cannot be opened or is not a database.
    """
    connection = sqlite3.connect(
        path,
        timeout=timeout,
        isolation_level=None,  # transactions are ours, not Python's
        cached_statements=256,
        check_same_thread=not is_shared,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {autocheckpoint_pages:d}").fetchone()
        connection.execute("PRAGMA foreign_keys = ON")
        # Zero what is deleted where the page is written anyway.
        connection.execute("PRAGMA secure_delete = FAST").fetchone()
        connection.execute("PRAGMA temp_store = MEMORY")
        if is_limited:
            _limit(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _limit(connection: sqlite3.Connection) -> None:
    for limit, value in LIMITS.items():
        connection.setlimit(limit, value)
    if sqlite3.sqlite_version_info < (3, 44):
        # Functions that D1 has and this SQLite is too old for.
        additions: dict[str, Callable[..., str | None]] = {
            "concat": lambda *parts: _joined("", parts),
            "concat_ws": lambda between, *parts: _joined(between, parts),
        }
        for name, function in additions.items():
            connection.create_function(name, -1, function, deterministic=True)
    if sqlite3.sqlite_version_info < (3, 43):
        connection.create_function("octet_length", 1, _octet_length, deterministic=True)


def _joined(between: object, parts: tuple[object, ...]) -> str | None:
    if between is None:
        return None
    return _as_text(between).join(_as_text(part) for part in parts if part is not None)


def _as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _octet_length(value: object) -> int | None:
    if value is None:
        return None
    return len(value) if isinstance(value, bytes) else len(str(value).encode("utf-8", "replace"))


_DATATYPE: Final = 19 | 12 << 8  # SQLITE_CONSTRAINT_DATATYPE

# Result codes have eight bits for the kind and the rest for the detail
# (sqlite.org/rescode.html); Python names the detailed one only.
_PRIMARY_NAMES: Final = (
    "OK",
    "ERROR",
    "INTERNAL",
    "PERM",
    "ABORT",
    "BUSY",
    "LOCKED",
    "NOMEM",
    "READONLY",
    "INTERRUPT",
    "IOERR",
    "CORRUPT",
    "NOTFOUND",
    "FULL",
    "CANTOPEN",
    "PROTOCOL",
    "EMPTY",
    "SCHEMA",
    "TOOBIG",
    "CONSTRAINT",
    "MISMATCH",
    "MISUSE",
    "NOLFS",
    "AUTH",
    "FORMAT",
    "RANGE",
    "NOTADB",
)


def error_codes(error: sqlite3.Error) -> tuple[str, str]:
    """Return the names of the plain and the extended code; the second "" if none."""
    number = getattr(error, "sqlite_errorcode", None)
    if number is None:
        # Raised by Python's module before SQLite saw the statement.
        is_too_long = "query string is too large" in str(error)
        return ("SQLITE_TOOBIG" if is_too_long else "SQLITE_ERROR"), ""
    kind = number & 0xFF
    plain = f"SQLITE_{_PRIMARY_NAMES[kind] if kind < len(_PRIMARY_NAMES) else 'ERROR'}"
    name = str(getattr(error, "sqlite_errorname", plain))
    if name == "unknown":
        # Python 3.11 and 3.12 do not know the newest ones by name.
        name = "SQLITE_CONSTRAINT_DATATYPE" if number == _DATATYPE else plain
    return plain, (name if name != plain else "")


def describe(error: sqlite3.Error, authority: Authority | None = None) -> str:
    """
    Say *error* in the words of D1, without its prefix "D1_ERROR: ".

    For example "UNIQUE constraint failed: un.a: SQLITE_CONSTRAINT (extended:
    SQLITE_CONSTRAINT_UNIQUE)". The "at offset N" of D1 is missing: Python has no
    way to ask for it. With *authority*, a refusal speaks with D1's words.
    """
    refusal = authority.take_refusal() if authority is not None else None
    if refusal is not None and "not authorized" in str(error):
        return refusal
    plain, extended = error_codes(error)
    text = str(error)
    if "query string is too large" in text:
        text = "statement too long"
    return f"{text}: {plain}" + (f" (extended: {extended})" if extended else "")
