"""Writes a wrangler configuration as TOML; the standard library can only read it."""

import json
from collections.abc import Mapping
from typing import Any


def to_toml(document: Mapping[str, Any]) -> str:
    """
    Return *document* as TOML: values first, then tables, then lists of tables, in their order.

    Raises:
        TypeError: a value that a wrangler configuration does not have (dates, None).
    """
    lines: list[str] = []
    _table(lines, document, ())
    return "\n".join(lines).strip() + "\n"


def _table(lines: list[str], table: Mapping[str, Any], path: tuple[str, ...]) -> None:
    for key, value in table.items():
        if not isinstance(value, Mapping) and not _is_list_of_tables(value):
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in table.items():
        inner = (*path, key)
        if isinstance(value, Mapping):
            # A table that only holds tables needs no heading of its own.
            if not value or any(not _is_heading(v) for v in value.values()):
                lines += ["", f"[{_name(inner)}]"]
            _table(lines, value, inner)
        elif _is_list_of_tables(value):
            for row in value:
                lines += ["", f"[[{_name(inner)}]]"]
                _table(lines, row, inner)


def _is_heading(value: Any) -> bool:
    return isinstance(value, Mapping) or _is_list_of_tables(value)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _name(path: tuple[str, ...]) -> str:
    return ".".join(_key(part) for part in path)


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if is_bare else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} has no place in a wrangler configuration")


def _text(text: str) -> str:
    # A JSON string is a TOML basic string, except that TOML wants DEL escaped and knows no
    # surrogate pairs.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
