"""
JavaScript values in and out of a Durable Object: the floor under durable/edge*.py.

Everything that touches `js` or `pyodide` is imported when it is called, never at import: objects of
JavaScript in module globals break the snapshot of a Python Worker, and CPython has neither module
(facts/bindings.md F3, F8). Values cross as text or bytes in the stored form of
`durable/values.py`, so no conversion of ours can change them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from durable.errors import (
    DataCloneError,
    DurableError,
    InvalidAccessError,
    ObjectResetError,
    OverloadedError,
    SocketStateError,
    SqlError,
)
from durable.values import decode

# JavaScript's names of errors that mean the same in Python.
_BY_NAME: Final[Mapping[str, type[Exception]]] = {
    "TypeError": TypeError,
    "RangeError": ValueError,
    "SyntaxError": ValueError,
    "DataCloneError": DataCloneError,
    "InvalidAccessError": InvalidAccessError,
}


def is_absent(value: Any) -> bool:
    """Whether *value* is null or undefined: None, or `jsnull` of Pyodide 0.28 and newer."""
    return value is None or type(value).__name__ == "JsNull"


def js_object(members: Mapping[str, Any]) -> Any:
    """Return a plain JavaScript object; a bare dict would become a Map, which no API reads."""
    from js import Object
    from pyodide.ffi import to_js

    return to_js(dict(members), dict_converter=Object.fromEntries)


def js_list(items: list[str]) -> Any:
    """Return a JavaScript Array of texts."""
    from pyodide.ffi import to_js

    return to_js(items)


def js_data(data: str | bytes) -> Any:
    """Return text as it is, bytes as a Uint8Array."""
    if isinstance(data, str):
        return data
    from pyodide.ffi import to_js

    return to_js(data)


def from_js_data(value: Any) -> str | bytes:
    """Undo `js_data`; takes every kind of buffer."""
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, memoryview):
        return value.tobytes()
    return bytes(value.to_bytes())


def from_stored(value: Any) -> Any:
    """Return the value whose stored form JavaScript handed out; None for null and undefined."""
    return None if is_absent(value) else decode(from_js_data(value))


def from_cell(value: Any) -> Any:
    """Return one cell of an SQL row: None, int, float, str or bytes."""
    if is_absent(value):
        return None
    if isinstance(value, (int, float, str)):
        return value
    return from_js_data(value)


# -- errors ----------------------------------------------------------------------------------


def is_js_error(error: BaseException) -> bool:
    """Whether *error* was thrown by JavaScript (`pyodide.ffi.JsException`)."""
    return any(kind.__name__ == "JsException" for kind in type(error).__mro__)


@contextmanager
def errors_as(fallback: type[Exception]) -> Iterator[None]:
    """Turn errors of JavaScript into ours: by their name where we have it, else *fallback*."""
    try:
        yield
    except Exception as error:
        if not is_js_error(error):
            raise
        raise translated(error, fallback) from None


def translated(error: Exception, fallback: type[Exception]) -> Exception:
    """Return our error for one of JavaScript; the text stays Cloudflare's."""
    message = str(getattr(error, "message", error))
    kind = _BY_NAME.get(str(getattr(error, "name", "")), fallback)
    return kind(message)


def infrastructure_error(error: Exception) -> DurableError:
    """
    Return our error for a call that the platform, and not the object's code, has failed.

    `.overloaded` and `.retryable` are Cloudflare's own marks (facts/bindings.md D1, D7).
    """
    overloaded = getattr(error, "overloaded", False) is True
    made = (OverloadedError if overloaded else ObjectResetError)(
        str(getattr(error, "message", error))
    )
    made.retryable = getattr(error, "retryable", False) is True
    return made


def socket_errors() -> Any:
    """Errors of WebSocket calls."""
    return errors_as(SocketStateError)


def sql_errors() -> Any:
    """Errors of SQL."""
    return errors_as(SqlError)


def storage_errors() -> Any:
    """Errors of values, alarms and transactions: what storage refuses resets the object."""
    return errors_as(ObjectResetError)


# -- promises --------------------------------------------------------------------------------


class Outcome:
    """What Python work inside a JavaScript callback ended in; neither end need convert it."""

    __slots__ = ("error", "result")

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None

    def raise_error(self) -> None:
        """Raise what the work raised, if it did."""
        if self.error is not None:
            raise self.error


def promise_of(work: Callable[[], Awaitable[Any]], outcome: Outcome) -> Any:
    """
    Start *work* and return a JavaScript promise of its end; its result goes to *outcome*.

    A real Promise, not a proxy of a coroutine: the runtime keeps it longer than a proxy lives.
    """
    from js import Error, Promise
    from pyodide.ffi import create_once_callable

    hooks: list[Any] = []
    promise = Promise.new(create_once_callable(lambda *both: hooks.extend(both)))
    resolve, reject = hooks

    async def run() -> None:
        try:
            outcome.result = await work()
        except BaseException as error:
            outcome.error = error
            reject(Error.new(str(error) or type(error).__name__))
        else:
            resolve()

    task = asyncio.ensure_future(run())
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)
    return promise


# asyncio holds tasks weakly; this keeps them until they are done.
_RUNNING: set["asyncio.Future[None]"] = set()
