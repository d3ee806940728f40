"""
The limits of a bucket and the checks of plain arguments.

Sources: https://developers.cloudflare.com/r2/platform/limits/ and the measured answers
in golden/r2.jsonl. Where the simulator and the documentation differ the stricter one
counts, so that what passes here passes at the edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from r2.errors import BAD_NAME, METADATA_TOO_LARGE, TOO_LARGE, refusal

MAX_KEY_BYTES: Final = 1024
# Characters of all names and values; a text with any character from U+0100 on counts double
# (as the service stores it in two bytes per character).
MAX_METADATA_CHARACTERS: Final = 2048
# A single put or part: 5 GiB minus 5 MiB. Larger objects are uploaded in parts.
MAX_BODY_BYTES: Final = 5 * 1024**3 - 5 * 1024**2
MIN_PART_BYTES: Final = 5 * 1024**2
MAX_PART_NUMBER: Final = 10_000
MAX_LIST_KEYS: Final = 1000
# With metadata included R2 shortens a page; so do we, always, so that a caller who
# does not loop on `truncated` finds out at home.
MAX_LIST_KEYS_WITH_METADATA: Final = 100
MAX_DELETE_KEYS: Final = 1000
# How much of a body is in memory at once while it streams, in bytes.
CHUNK_BYTES: Final = 256 * 1024
# Bodies up to this size, in bytes, are read whole when they are got: one step in a thread.
WHOLE_BYTES: Final = 2 * 1024 * 1024
# Uploads neither completed nor aborted are dropped after this long (R2's default rule).
UPLOAD_LIFETIME_SECONDS: Final = 7 * 24 * 3600


def check_key(verb: str, key: object) -> str:
    """
    Return *key* unless it cannot name an object.

    Any text up to 1024 bytes of UTF-8 can, also "", "a/../b" and line breaks.
    Raises TypeError when it is no text, R2Error 10020 when it is too long or not
    encodable (a lone surrogate).
    """
    if not isinstance(key, str):
        raise TypeError(f"An object key is a str, not {type(key).__name__}.")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise refusal(verb, BAD_NAME) from None
    if size > MAX_KEY_BYTES:
        raise refusal(verb, BAD_NAME)
    return key


def check_keys(keys: object) -> list[str]:
    """
    Return the keys of a delete as a list: one key or an iterable of keys.

    Raises TypeError for anything else and for more than 1000 keys, R2Error 10020.
    """
    if isinstance(keys, str):
        return [check_key("delete", keys)]
    if not isinstance(keys, Iterable) or isinstance(keys, bytes | bytearray | memoryview):
        raise TypeError(f"delete takes a key or a list of keys, not {type(keys).__name__}.")
    checked = [check_key("delete", key) for key in keys]
    if len(checked) > MAX_DELETE_KEYS:
        raise TypeError(f"delete takes at most {MAX_DELETE_KEYS} keys, not {len(checked)}.")
    return checked


def check_body_size(verb: str, size: int) -> None:
    """Raise R2Error 100100 when a single put or part of *size* bytes is too large."""
    if size > MAX_BODY_BYTES:
        raise refusal(verb, TOO_LARGE)


def check_part_number(number: object) -> int:
    """Return a part number from 1 to 10000; TypeError with R2's text otherwise."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"A part number is an int, not {type(number).__name__}.")
    if not 1 <= number <= MAX_PART_NUMBER:
        raise TypeError(
            f"Part number must be between 1 and {MAX_PART_NUMBER} (inclusive). "
            f"Actual value was: {number}"
        )
    return number


def check_custom_metadata(verb: str, metadata: object) -> dict[str, str]:
    """
    Return custom metadata as texts; values are coerced as JavaScript would.

    None → {}. Raises TypeError (not a mapping of str to plain values) and
    R2Error 10012 (too large).
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise TypeError(f"custom_metadata is a mapping, not {type(metadata).__name__}.")
    texts: dict[str, str] = {}
    for name, value in metadata.items():
        if not isinstance(name, str):
            raise TypeError(f"A custom metadata name is a str, not {type(name).__name__}.")
        texts[name] = _as_text(value)
    if sum(_weight(name) + _weight(value) for name, value in texts.items()) > (
        MAX_METADATA_CHARACTERS
    ):
        raise refusal(verb, METADATA_TOO_LARGE)
    return texts


def check_storage_class(value: object) -> str | None:
    """
    Return *value*. Raises TypeError unless it is None or a text.

    R2's simulator reads no more of it than that and reports "" for every object;
    in production it is "Standard" or "InfrequentAccess".
    """
    if value is not None and not isinstance(value, str):
        raise TypeError(f"storage_class is a str, not {type(value).__name__}.")
    return value


def _as_text(value: Any) -> str:
    """Return *value* as JavaScript's String() writes it, for the plain types."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    raise TypeError(f"A custom metadata value is a str, not {type(value).__name__}.")


def _weight(text: str) -> int:
    """Return how much *text* counts: UTF-16 units, double when one is U+0100 or above."""
    units = sum(2 if ord(character) > 0xFFFF else 1 for character in text)
    return units * 2 if any(ord(character) > 0xFF for character in text) else units
