"""What Redis answers when it does not do what was asked, in our words; its own go no further."""

import os
import re
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    ResponseError,
)

from kv.checks import KVError, KVUnavailable

_TEMPORARY: Final = {
    "BUSY": "Redis is busy with a script",
    "CLUSTERDOWN": "The Redis cluster is down",
    "MASTERDOWN": "Redis has lost its master",
    "MISCONF": "Redis cannot write to its disk",
    "NOAUTH": "Redis wants a password",
    "NOPERM": "Redis does not permit it",
    "NOREPLICAS": "Redis misses its replicas",
    "OOM": "Redis is out of memory",
    "READONLY": "Redis is a read-only replica",
    "TRYAGAIN": "Redis is moving its keys",
    "UNBLOCKED": "Redis has become a replica",
}
_KNOWN: Final = re.compile(r"\b(?:" + "|".join(_TEMPORARY) + r")\b")


class RedisStartError(ValueError):
    """Redis cannot be used as it was named; the text is a sentence without secrets."""


def refusal(operation: str, error: ResponseError) -> KVError:
    """Return what a caller of KV gets for *error*: 503 for a state of the server, else 500."""
    code = code_of(error)
    if code in _TEMPORARY:
        return KVUnavailable(operation, _TEMPORARY[code])
    return KVError(operation, 500, f"Redis refused the command ({code})")


def code_of(error: ResponseError) -> str:
    """Return the word in capitals that says what kind of error it is."""
    text = str(error)
    word = error.status_code or text.partition(" ")[0]
    if word == "ERR" and (inner := _KNOWN.search(text)):
        return inner[0]  # what happens inside a script is told as an error of the script
    return word if word.isalpha() and word.isupper() else "ERR"


def start_sentence(label: str, error: BaseException) -> tuple[str, bool]:
    """Say why the server at *label* cannot be used, and whether waiting is in vain."""
    where = f"Redis at {label}"
    error = _telling(error)
    if isinstance(error, AuthenticationError):
        if error.status_code == "NOAUTH":
            return f"{where} wants a password: redis://:password@host:port.", True
        return f"{where} refuses the user or the password.", True
    if isinstance(error, BusyLoadingError):
        return f"{where} is still loading its data.", False
    if isinstance(error, InvalidResponse):
        return f"What answers at {label} is not Redis.", True
    if isinstance(error, ResponseError):
        if "DB index" in str(error) or "SELECT" in str(error):
            return f"{where} has no database of this number.", True
        return f"{where} refuses to work for this user ({code_of(error)}).", True
    reason = _system_reason(error)
    return f"{where} does not answer{f' ({reason})' if reason else ''}.", False


def _telling(error: BaseException) -> BaseException:
    """Return the answer of the server inside *error*, where the client has wrapped it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, AuthenticationError | InvalidResponse | ResponseError):
            return inner
        inner = inner.__cause__
    return error


def _system_reason(error: BaseException | None) -> str:
    """Return what the operating system or TLS said, which names no secret."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            # asyncio's own loop replaces the system's text by the address, which we say already.
            own = error.strerror.startswith("Connect call failed") and error.errno
            return os.strerror(own) if own else error.strerror
        error = error.__cause__ or error.__context__
    return ""
