"""
What user SQL may do: pragmas, functions, modules and names that D1 allows.

Source: facts/bindings.md B7, measured on Cloudflare's own simulator.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from d1_schema.sqlite.engine import Connection


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TRANSACTION_REFUSED: Final = (
    "To execute a transaction, please use the state.storage.transaction() or "
    "state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT "
    "statements. The JavaScript API is safer because it will automatically roll back on "
    "exceptions, and because it interacts correctly with Durable Objects' automatic atomic "
    "write coalescing."
)

PRAGMAS: Final = _names(
    """table_list table_info table_xinfo index_list index_info index_xinfo foreign_key_list
    foreign_key_check quick_check optimize data_version case_sensitive_like foreign_keys
    defer_foreign_keys ignore_check_constraints legacy_alter_table recursive_triggers
    reverse_unordered_selects page_size"""
)

FUNCTIONS: Final = _names(
    """abs changes char coalesce concat concat_ws format glob hex ifnull iif instr
    last_insert_rowid length like likelihood likely lower ltrim max min nullif octet_length
    printf quote random randomblob replace round rtrim sign substr substring total_changes
    trim typeof unhex unicode unlikely upper zeroblob
    avg count group_concat string_agg sum total
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value
    nth_value
    date time datetime julianday unixepoch strftime timediff
    current_date current_time current_timestamp
    acos acosh asin asinh atan atan2 atanh ceil cos cosh degrees exp floor ln log
    log2 mod pi pow power radians sin sinh sqrt tan tanh trunc
    json jsonb json_array jsonb_array json_array_length json_extract
    jsonb_extract -> ->> json_insert jsonb_insert json_object jsonb_object json_patch
    jsonb_patch json_quote json_remove jsonb_remove json_replace jsonb_replace
    json_set jsonb_set json_type json_valid json_group_array jsonb_group_array
    json_group_object jsonb_group_object json_each json_tree
    match highlight bm25 snippet rtreecheck"""
)

# In SQLite, but not in D1's list: these answer "not authorized", all others that
# D1 lacks answer "no such function" because its build does not have them.
_REFUSED_FUNCTIONS = _names(
    """sqlite_version sqlite_source_id sqlite_log subtype sqlite_compileoption_get
    sqlite_compileoption_used ceiling fts5 fts5_get_locale fts5_insttoken if json_array_insert
    json_error_position json_pretty jsonb_array_insert log10 rtreedepth sqlite_fail unistr
    unistr_quote"""
)
# ALTER TABLE calls its own internal functions, which user SQL cannot reach;
# load_extension stays visible because SQLite itself answers "not authorized".
_INTERNAL_PREFIXES = ("sqlite_rename_", "sqlite_drop_", "sqlite_add_", "load_ext")

MODULES: Final = frozenset({"fts5", "fts5vocab", "rtree", "rtree_i32"})
# Tables of modules that D1's build lacks.
_HIDDEN_TABLES = _names("carray dbstat fts3tokenize")

_TRANSACTION_ACTIONS = frozenset({apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT})
_REFUSED_ACTIONS = frozenset(
    {
        apsw.SQLITE_ATTACH,
        apsw.SQLITE_DETACH,
        apsw.SQLITE_CREATE_TEMP_INDEX,
        apsw.SQLITE_CREATE_TEMP_TABLE,
        apsw.SQLITE_CREATE_TEMP_TRIGGER,
        apsw.SQLITE_CREATE_TEMP_VIEW,
    }
)


class Authority:
    """
    Says what user SQL may do on one connection (bindings.md B7).

    SQLite asks only while it prepares a statement, and the connection keeps
    prepared statements by their text. So the owner's own BEGIN must have a text
    that no user can send (facts B4, the trap), and run inside `lifted()`.
    """

    __slots__ = ("is_lifted", "refusal")

    def __init__(self) -> None:
        self.is_lifted = False
        """True while the owner of the connection runs a statement of its own."""
        self.refusal: str | None = None
        """D1's text for the last refusal, without its code, where SQLite's own text differs."""

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Allow everything inside the block."""
        self.is_lifted = True
        try:
            yield
        finally:
            self.is_lifted = False

    def take_refusal(self) -> str | None:
        """Return the text of the last refusal and forget it."""
        refusal, self.refusal = self.refusal, None
        return refusal

    def __call__(
        self, action: int, first: str | None, second: str | None, db: str | None, _by: str | None
    ) -> int:
        """SQLite's question; the meaning of the arguments depends on *action*."""
        if self.is_lifted:
            return apsw.SQLITE_OK
        if action in _TRANSACTION_ACTIONS:
            self.refusal = TRANSACTION_REFUSED
            return apsw.SQLITE_DENY
        if db == "temp" and action == apsw.SQLITE_INSERT:
            # The schema's row of CREATE TABLE, VIEW or TRIGGER temp.x.
            return apsw.SQLITE_DENY
        allowed = self._allows(action, first or "", second or "")
        return apsw.SQLITE_OK if allowed else apsw.SQLITE_DENY

    def _allows(self, action: int, first: str, second: str) -> bool:
        if action == apsw.SQLITE_FUNCTION:
            return self._allows_function(second)
        if action == apsw.SQLITE_PRAGMA:
            return first.lower() in PRAGMAS
        if action == apsw.SQLITE_CREATE_VTABLE and second.lower() not in MODULES:
            return False
        if first.lower() in _HIDDEN_TABLES:
            self.refusal = f"no such table: {first}"
            return False
        if action in _REFUSED_ACTIONS:
            return False
        return not (_is_reserved(first) or _is_reserved(second))

    def _allows_function(self, name: str) -> bool:
        lower = name.lower()
        if lower in FUNCTIONS or lower.startswith(_INTERNAL_PREFIXES):
            return True
        if lower not in _REFUSED_FUNCTIONS:
            self.refusal = f"no such function: {name}"
        return False


def _is_reserved(name: str) -> bool:
    return name[:4].lower() == "_cf_"


def install_authorizer(connection: Connection) -> Authority:
    """Put a fresh `Authority` in charge of *connection* and return it."""
    authority = Authority()
    connection.set_authorizer(authority)
    return authority
