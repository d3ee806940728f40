"""What of an actor can be called from outside, and the call itself; alike on every runtime."""

import inspect
from collections.abc import Sequence
from typing import Any

from durable.contract import RESERVED_METHODS, DurableObject
from durable.values import copy_sent


async def call_member(actor: DurableObject, method: str, args: Sequence[Any]) -> Any:
    """
    Call the public method (or read the property) *method*; return a copy of what it gives.

    Raises:
        TypeError: there is none. DataCloneError: the result is not plain data.
        Exception: whatever the method raises.
    """
    found = _public_member(type(actor), method)
    result = found.__get__(actor) if isinstance(found, property) else getattr(actor, method)(*args)
    if inspect.isawaitable(result):
        result = await result
    return copy_sent(result)


def _public_member(kind: type[DurableObject], method: str) -> Any:
    """
    Return the function or property that *method* names.

    Raises:
        TypeError: there is none, or it is a handler of the runtime.
    """
    if method in RESERVED_METHODS:
        raise TypeError(f"'{method}' is a reserved method and cannot be called over RPC.")
    found = None
    if isinstance(method, str) and not method.startswith("_"):
        found = inspect.getattr_static(kind, method, None)
    if not inspect.isfunction(found) and not isinstance(
        found, (property, staticmethod, classmethod)
    ):
        raise TypeError(f'The RPC receiver does not implement the method "{method}".')
    return found
