"""
Plain data: what may be stored, and what may cross a call.

The types are those that structured clone and Python share: None, bool, int, float, str,
bytes, list, dict, set and datetime (tuples become lists, bytearrays bytes). Everything else
is refused, because an object of a class would arrive without its class.

Stored form: bytes are a BLOB as they are; everything else is JSON text, so that any SQLite
tool can read a value. What JSON lacks is an object with one key that begins with "$":
{"$b": base64}, {"$t": ISO time}, {"$s": [...]} for a set, {"$m": [[k, v], ...]} for a dict
with keys other than str (or with a key that begins with "$"), {"$n": "nan"} for numbers that
JSON cannot write.
"""

import base64
import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from durable.errors import DataCloneError

MAX_VALUE_BYTES: Final = 2_097_152
"""Longest key and value together (Cloudflare: 2 MB for SQLite-backed objects)."""

MAX_DEPTH: Final = 200
"""Lists in lists: deeper data could be stored by one caller and be too deep for the next."""

MAX_CALL_BYTES: Final = 33_554_432
"""Arguments or results of one call together (Cloudflare: 32 MiB)."""

Refuse = Callable[[object], DataCloneError]

_SCALARS = (type(None), bool, int, float, str, bytes, datetime)
_SCALAR_TYPES = frozenset(_SCALARS)
_PLAIN_INT = 2**63


def refuse_stored(value: object) -> DataCloneError:
    """The error for a value that storage or an attachment cannot hold."""
    return DataCloneError(f"{str(value)[:200]} could not be cloned.")


def refuse_sent(value: object) -> DataCloneError:
    """The error for a value that cannot cross a call."""
    return DataCloneError(
        f'Could not serialize object of type "{type(value).__name__}". '
        "This type does not support serialization."
    )


# -- copying, for calls --------------------------------------------------------------------


def copy_sent(value: Any) -> Any:
    """
    Return an independent copy of *value*, as it arrives at the other end of a call.

    Raises:
        DataCloneError: something in it is not plain data, or it contains itself.
        ValueError: it is longer than `MAX_CALL_BYTES`.
    """
    kind = type(value)
    if value is None or kind is int or kind is bool or kind is float:
        return value
    sizes = [0]
    copy = _copy(value, sizes, MAX_DEPTH + 1)
    if sizes[0] > MAX_CALL_BYTES:
        raise ValueError(
            "Serialized RPC arguments or return values are limited to 32MiB, but the size of "
            f"this value was: {sizes[0]} bytes."
        )
    return copy


def _less(room: int) -> int:
    if room == 0:
        raise DataCloneError("The value is nested too deeply or contains itself.")
    return room - 1


def _copy(value: Any, sizes: list[int], room: int) -> Any:
    kind = type(value)
    if kind is str or kind is bytes:
        # ASCII in the usual case; what is longer in UTF-8 is at most 4 times longer.
        sizes[0] += len(value) if kind is bytes or value.isascii() else len(_utf8(value))
        return value
    sizes[0] += 8
    if kind in _SCALAR_TYPES:
        return value
    if kind is list or kind is tuple:
        room = _less(room)
        return [_copy(item, sizes, room) for item in value]
    if kind is dict:
        room = _less(room)
        return {_scalar(k, sizes, refuse_sent): _copy(v, sizes, room) for k, v in value.items()}
    if kind is set or kind is frozenset:
        return {_scalar(item, sizes, refuse_sent) for item in value}
    if kind is bytearray or kind is memoryview:
        sizes[0] += len(value)
        return bytes(value)
    raise refuse_sent(value)


def _scalar(value: Any, sizes: list[int], refuse: Refuse) -> Any:
    if type(value) not in _SCALAR_TYPES:
        raise refuse(value)
    return _copy(value, sizes, 1)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# -- storing -------------------------------------------------------------------------------


def encode(value: Any) -> str | bytes:
    """
    Return the stored form of *value*: bytes for bytes, JSON text for everything else.

    Raises:
        DataCloneError: something in it is not plain data, or it contains itself.
    """
    kind = type(value)
    if kind is bytes:
        return bytes(value)
    if kind is int and -_PLAIN_INT < value < _PLAIN_INT:
        return str(value)
    if kind is bytearray or kind is memoryview:
        return bytes(value)
    return json.dumps(_tagged(value, MAX_DEPTH), ensure_ascii=False, separators=(",", ":"))


def stored_size(encoded: str | bytes) -> int:
    """Length of a stored form in bytes."""
    return len(encoded) if isinstance(encoded, bytes) or encoded.isascii() else len(_utf8(encoded))


def for_sqlite(encoded: str | bytes) -> str | bytes:
    """Return *encoded* so that SQLite takes it: lone surrogates as JSON escapes."""
    if isinstance(encoded, str) and not encoded.isascii():
        try:
            encoded.encode()
        except UnicodeEncodeError:
            return json.dumps(json.loads(encoded), separators=(",", ":"))
    return encoded


def decode(stored: str | bytes) -> Any:
    """Return the value whose stored form is *stored*."""
    if type(stored) is bytes:
        return stored
    if "$" in stored:
        return _untagged(json.loads(stored))
    return json.loads(stored)


def _tagged(value: Any, room: int) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        # Python refuses to read very long decimal numbers; hexadecimal has no such limit.
        return value if -_PLAIN_INT < value < _PLAIN_INT else {"$n": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$n": repr(value)}
    if kind is list or kind is tuple:
        room = _less(room)
        return [_tagged(item, room) for item in value]
    if kind is dict:
        return _tagged_dict(value, _less(room))
    if kind is bytes or kind is bytearray or kind is memoryview:
        return {"$b": base64.b64encode(value).decode()}
    if kind is datetime:
        return {"$t": value.isoformat()}
    if kind is set or kind is frozenset:
        return {"$s": [_tagged_scalar(item) for item in value]}
    raise refuse_stored(value)


def _tagged_dict(value: dict[Any, Any], room: int) -> Any:
    if all(type(k) is str and not k.startswith("$") for k in value):
        return {k: _tagged(v, room) for k, v in value.items()}
    return {"$m": [[_tagged_scalar(k), _tagged(v, room)] for k, v in value.items()]}


def _tagged_scalar(value: Any) -> Any:
    if type(value) not in _SCALAR_TYPES:
        raise refuse_stored(value)
    return _tagged(value, 1)


def _untagged(value: Any) -> Any:
    if type(value) is list:
        return [_untagged(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((tag, inner),) = value.items()
        read = _READERS.get(tag)
        if read is not None:
            return read(inner)
    return {k: _untagged(v) for k, v in value.items()}


def _read_number(text: str) -> int | float:
    return int(text, 16) if "x" in text else float(text)


_READERS: dict[str, Callable[[Any], Any]] = {
    "$b": base64.b64decode,
    "$t": datetime.fromisoformat,
    "$s": lambda items: {_untagged(item) for item in items},
    "$m": lambda pairs: {_untagged(k): _untagged(v) for k, v in pairs},
    "$n": _read_number,
}
