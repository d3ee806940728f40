"""
A call between a Worker and an object at the edge, as two texts: the call and its answer.

JavaScript's own conversions would turn a dict into a Map, bytes into a proxy and an error of ours
into a trace without a class. A text crosses every runtime unchanged, so arguments, results and
errors arrive as they do on a laptop (`durable/errors.py`, `remote_copy`).
"""

import sys
from typing import Any, Final

from durable.contract import DurableObject
from durable.errors import DurableError, RemoteError, mark_remote
from durable.rpc import call_member
from durable.values import copy_sent, decode, encode

RAISED_HEADER: Final = "edgekeep-raised"
"""Marks a response that stands for an exception of the object's `fetch`; its body is the error."""

_PLAIN = (type(None), str, bytes, int, float, bool)


def pack_call(method: str, args: tuple[Any, ...]) -> str:
    """
    Return the call as text.

    Raises:
        DataCloneError: an argument is not plain data. ValueError: longer than 32 MiB.
    """
    return _text([method, copy_sent(args)])


async def answer_call(actor: DurableObject, text: str) -> str:
    """Make the call that *text* names on *actor*; return its result, or its error, as text."""
    method, args = decode(text)
    try:
        result = await call_member(actor, method, args)
    except Exception as error:
        return pack_error(error)
    return _text(["result", result])


def unpack_answer(text: str) -> Any:
    """Return the result in *text*, or raise the error in it, marked `.remote`."""
    kind, inner = decode(text)
    if kind == "result":
        return inner
    raise _rebuilt(inner)


def pack_error(error: Exception) -> str:
    """Return *error* as an answer."""
    kind = type(error)
    is_plain = all(isinstance(argument, _PLAIN) for argument in error.args)
    told: dict[str, Any] = {
        "module": kind.__module__,
        "name": kind.__qualname__,
        "args": list(error.args) if is_plain else None,
        "message": str(error),
    }
    if isinstance(error, DurableError):
        told |= {"retryable": error.retryable, "overloaded": error.overloaded}
    return _text(["error", told])


def _rebuilt(told: dict[str, Any]) -> Exception:
    error = _same_class(told) or RemoteError(told["name"], told["message"])
    if isinstance(error, DurableError):
        error.retryable = told.get("retryable", False)
        error.overloaded = told.get("overloaded", False)
    mark_remote(error)
    return error


def _same_class(told: dict[str, Any]) -> Exception | None:
    """Rebuild the error from its class; only classes that are loaded here already are taken."""
    kind: Any = sys.modules.get(told["module"])
    for part in told["name"].split("."):
        kind = getattr(kind, part, None)
    if told["args"] is None or not isinstance(kind, type) or not issubclass(kind, Exception):
        return None
    try:
        made = kind(*told["args"])
    except Exception:
        return None  # any signature is possible in a foreign class
    return made if str(made) == told["message"] else None


def _text(value: Any) -> str:
    encoded = encode(value)
    assert isinstance(encoded, str)  # only bytes alone are stored as bytes
    return encoded
