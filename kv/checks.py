"""
Limits and argument checks of KV, apart from any storage.

Texts are Cloudflare's own (facts/bindings.md A2 to A8, measured).
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

MAX_KEY_BYTES: Final = 512
MAX_VALUE_BYTES: Final = 25 * 1024 * 1024
MAX_METADATA_BYTES: Final = 1024
MAX_BULK_KEYS: Final = 100
MAX_BULK_BYTES: Final = 25 * 1024 * 1024
MIN_TTL_SECONDS: Final = 60
MIN_CACHE_TTL_SECONDS: Final = 30
DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 1000


class KVError(Exception):
    """KV refused or failed: "KV PUT failed: 413 Value length of …"."""

    operation: str
    """GET, PUT, DELETE or GET_BULK."""
    status: int
    """As an HTTP status: 4xx for a wrong call, 5xx for a failing store."""
    text: str

    def __init__(self, operation: str, status: int, text: str) -> None:
        # All three parts are `args`: so it can be made anew behind a pickle or an object's call.
        super().__init__(operation, status, text)
        self.operation = operation
        self.status = status
        self.text = text

    def __str__(self) -> str:
        return f"KV {self.operation} failed: {self.status} {self.text}"

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed soon: the store failed, or was asked too often."""
        return self.status >= 500 or self.status == 429


class KVUnavailable(KVError):  # noqa: N818 - a state of the store, as KVError is Cloudflare's name
    """The store does not answer now; whether a write of that moment was kept is not known."""

    def __init__(self, operation: str, text: str = "The store is not available") -> None:
        super().__init__(operation, 503, text)
        self.args = (operation, text)


def check_key(key: object, operation: str, *, is_prefix: bool = False) -> None:
    """
    Raise unless *key* may name an entry (or, as a prefix, begin a name).

    Raises:
        TypeError: not a str, empty, "." or "..".
        KVError: 414 longer than 512 bytes of UTF-8, 400 not encodable as UTF-8.
    """
    if not isinstance(key, str):
        raise TypeError(f"Key name must be a str, not {type(key).__name__}.")
    if not is_prefix:
        if not key:
            raise TypeError("Key name cannot be empty.")
        if key in (".", ".."):
            raise TypeError(f'"{key}" is not allowed as a key name.')
    if len(key) <= MAX_KEY_BYTES and key.isascii():
        return
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise KVError(operation, 400, "Could not URL-decode key name") from None
    if length > MAX_KEY_BYTES:
        text = f"UTF-8 encoded length of {length} exceeds key length limit of {MAX_KEY_BYTES}."
        raise KVError(operation, 414, text)


def check_bulk(keys: object, type: str) -> list[str]:
    """Return *keys* without doubles; raise KVError unless they may be read together as *type*."""
    if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
        raise TypeError("get_many() takes several keys; for one there is get().")
    if type not in ("text", "json"):
        _refuse_bulk(f'"{type}" is not a valid type. Use "json" or "text"')
    listed = list(keys)
    for key in listed:
        if key == "":
            _refuse_bulk("Key names must not be empty")
        check_key(key, "GET_BULK")
    wanted = list(dict.fromkeys(listed))
    if not wanted:
        _refuse_bulk("You must request a minimum of 1 key")
    if len(wanted) > MAX_BULK_KEYS:
        _refuse_bulk(f"You can request a maximum of {MAX_BULK_KEYS} keys")
    return wanted


def _refuse_bulk(text: str) -> NoReturn:
    raise KVError("GET_BULK", 400, text)


def check_cache_ttl(cache_ttl: object) -> int:
    """Return *cache_ttl* in whole seconds; raise KVError below 30."""
    seconds = _as_int32(cache_ttl, "cache_ttl")
    if seconds < MIN_CACHE_TTL_SECONDS:
        text = (
            f"Invalid cache_ttl of {seconds}. Cache TTL must be at least {MIN_CACHE_TTL_SECONDS}."
        )
        raise KVError("GET", 400, text)
    return seconds


def check_cursor(cursor: object) -> str | None:
    """Return *cursor*, None for none. TypeError unless it is text."""
    if cursor is not None and not isinstance(cursor, str):
        raise TypeError(f"A cursor must be a str, not {type(cursor).__name__}.")
    return cursor or None


def check_limit(limit: object) -> int:
    """Return how many keys a page may hold; raise KVError above 1000."""
    limit = 0 if limit is None else _as_int32(limit, "limit")
    if limit <= 0:
        return DEFAULT_LIMIT
    if limit > MAX_LIMIT:
        # "less than" is Cloudflare's wording; 1000 itself is fine.
        text = f"Invalid key_count_limit of {limit}. Please specify an integer less than 1000."
        raise KVError("GET", 400, text)
    return limit


def check_value_length(length: int) -> None:
    """Raise KVError for a value of more than 25 MiB."""
    if length > MAX_VALUE_BYTES:
        text = f"Value length of {length} exceeds limit of {MAX_VALUE_BYTES}."
        raise KVError("PUT", 413, text)


def value_bytes(value: object) -> bytes:
    """
    Return *value* as it is stored.

    Raises:
        TypeError: neither text nor bytes. (JavaScript turns numbers, booleans and
            null into text; in Python that hides a mistake.)
        KVError: 413.
    """
    if isinstance(value, str):
        try:
            stored = value.encode()
        except UnicodeEncodeError:
            # As JavaScript does when it encodes a lone surrogate.
            stored = (
                value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
            )
    elif type(value) is bytes:
        stored = value
    elif isinstance(value, (bytes, bytearray, memoryview)):
        stored = bytes(value)
    else:
        raise TypeError(
            "KV put() accepts only strings, bytes, bytearrays, memoryviews, "
            "and asynchronous iterables of bytes as values."
        )
    check_value_length(len(stored))
    return stored


def expiry_of(expiration: object, expiration_ttl: object, clock: Callable[[], float]) -> int | None:
    """
    Return the second at which an entry ends, or None.

    Raises:
        TypeError: a number outside 32 bits, or no number.
        KVError: 400, not at least 60 seconds ahead.
    """
    if expiration_ttl is not None:
        ttl = _as_int32(expiration_ttl, "expiration_ttl")
        if ttl <= 0:
            _refuse_expiry("expiration_ttl", ttl, "Please specify integer greater than 0.")
        if ttl < MIN_TTL_SECONDS:
            rule = f"Expiration TTL must be at least {MIN_TTL_SECONDS}."
            _refuse_expiry("expiration_ttl", ttl, rule)
        return int(clock()) + ttl
    if expiration is None:
        return None
    at = _as_int32(expiration, "expiration")
    now = int(clock())
    if at <= now:
        rule = (
            "Please specify integer greater than the current number of seconds "
            "since the UNIX epoch."
        )
        _refuse_expiry("expiration", at, rule)
    if at < now + MIN_TTL_SECONDS:
        rule = f"Expiration times must be at least {MIN_TTL_SECONDS} seconds in the future."
        _refuse_expiry("expiration", at, rule)
    return at


def _refuse_expiry(name: str, number: int, rule: str) -> NoReturn:
    raise KVError("PUT", 400, f"Invalid {name} of {number}. {rule}")


# What JavaScript reads as a number: no underscores, no words, other bases without a sign.
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_OTHER_BASE: Final = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+")


def _as_int32(value: object, name: str) -> int:
    """Read a number as KV's binding does: truncated, text too, what is none as 0."""
    if isinstance(value, str):
        text = value.strip()
        if _OTHER_BASE.fullmatch(text):
            value = int(text, 0)
        else:
            value = float(text) if _DECIMAL.fullmatch(text) else 0
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}.")
    if isinstance(value, float) and not math.isfinite(value):
        return 0
    if not -(2**31) <= value < 2**31:
        raise TypeError(
            "Value out of range. Must be between -2147483648 and 2147483647 (inclusive)."
        )
    return int(value)


def metadata_text(metadata: Any) -> str | None:
    """
    Return *metadata* as compact JSON text; None stays None.

    Raises:
        TypeError: not JSON (NaN and the infinities included).
        KVError: 413, longer than 1024 bytes.
    """
    if metadata is None:
        return None
    try:
        text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"Metadata must be JSON: {error}") from None
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        # A lone surrogate is legal in JSON as an escape only.
        text = json.dumps(metadata, separators=(",", ":"))
        length = len(text)
    if length > MAX_METADATA_BYTES:
        text = f"Metadata length of {length} exceeds limit of {MAX_METADATA_BYTES}."
        raise KVError("PUT", 413, text)
    return text


def read_json(text: str) -> Any:
    """
    Parse *text* as JSON.

    Raises:
        ValueError: it is not JSON; Python's NaN and Infinity are not either.
    """
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def encode_cursor(key: str) -> str:
    """Return the cursor that continues after *key*; for adapters of our own."""
    return base64.b64encode(key.encode()).decode()


def decode_cursor(cursor: str) -> bytes | None:
    """Return the key bytes of *cursor*, None for garbage (answered by an empty page)."""
    try:
        return base64.b64decode(cursor, validate=True)
    except (binascii.Error, ValueError):
        return None
