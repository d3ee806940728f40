"""
What a Durable Object's values and errors are in Python: the floor under durable/edge*.py.

Values cross as text or bytes in the stored form of `durable/values.py`, so no conversion of ours
can change them. How anything crosses at all is `worker.interop`'s.
"""

from collections.abc import Iterator, Mapping
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
from worker import interop
from worker.interop import Outcome

# JavaScript's names of errors that mean the same in Python.
_BY_NAME: Final[Mapping[str, type[Exception]]] = {
    "TypeError": TypeError,
    "RangeError": ValueError,
    "SyntaxError": ValueError,
    "DataCloneError": DataCloneError,
    "InvalidAccessError": InvalidAccessError,
}


def from_stored(value: Any) -> Any:
    """Return the value whose stored form JavaScript handed out; None for null and undefined."""
    return None if interop.is_none(value) else decode(interop.data_in(value))


def from_cell(value: Any) -> Any:
    """Return one cell of an SQL row: None, int, float, str or bytes."""
    if interop.is_none(value):
        return None
    return value if isinstance(value, (int, float)) else interop.data_in(value)


@contextmanager
def errors_as(fallback: type[Exception], outcome: Outcome | None = None) -> Iterator[None]:
    """
    Turn errors of JavaScript into ours: by their name where we have it, else *fallback*.

    With *outcome*, Python work ran inside: its own error comes back as itself, whatever it crossed
    on the way.
    """
    try:
        yield
    except Exception as error:
        if outcome is not None:
            outcome.raise_error()
        found = interop.thrown(error)
        if found is None:
            raise
        raise _BY_NAME.get(found.name, fallback)(str(found)) from None


@contextmanager
def call_errors() -> Iterator[None]:
    """Errors of a call that the platform, and not the object's code, has failed."""
    try:
        yield
    except Exception as error:
        found = interop.thrown(error)
        if found is None:
            raise
        kind: type[DurableError] = OverloadedError if found.overloaded else ObjectResetError
        made = kind(str(found))
        made.retryable = found.retryable
        raise made from None


def socket_errors() -> Any:
    """Errors of WebSocket calls."""
    return errors_as(SocketStateError)


def sql_errors() -> Any:
    """Errors of SQL."""
    return errors_as(SqlError)


def storage_errors(outcome: Outcome | None = None) -> Any:
    """Errors of values, alarms and transactions: what storage refuses resets the object."""
    return errors_as(ObjectResetError, outcome)
