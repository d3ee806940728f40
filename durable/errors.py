"""
Every error that Durable Objects raise themselves, one class per meaning.

Texts are Cloudflare's where Cloudflare has one (facts/bindings.md D1 to D7), so that a
message means the same on a laptop and at the edge.
"""

_PASSING_CODES = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_LOCKED")


class DurableError(Exception):
    """Root of this file's ordinary errors. Never raised directly."""

    retryable: bool = False
    """The call may be repeated on a fresh stub: it was not the caller's fault."""
    overloaded: bool = False
    """The object has too much to do: do not repeat at once."""

    @property
    def passing(self) -> bool:
        """Whether the same call, on a fresh stub, may succeed soon."""
        return self.retryable or self.overloaded


class ObjectResetError(DurableError):
    """The object's instance was thrown away while the call was in it (abort, failed write)."""

    @property
    def passing(self) -> bool:
        """Always: the next call makes a new instance."""
        return True


class OverloadedError(DurableError):
    """Too many events wait in front of one object."""

    overloaded = True


class ActorsClosedError(DurableError):
    """The local runtime is shutting down; a later start will answer."""

    retryable = True


class TransactionError(DurableError):
    """A transaction handle is used after its rollback or after its end."""


class SqlError(DurableError):
    """SQLite refused a statement; the text is SQLite's, followed by its code."""

    @property
    def passing(self) -> bool:
        """Whether the disk, not the statement, was at fault."""
        return str(self).endswith(_PASSING_CODES)


class SocketStateError(DurableError):
    """A WebSocket is not in the state that the call needs (accepted twice, no tags yet)."""


class RemoteError(DurableError):
    """
    An error of a class that cannot be rebuilt on this side of a call.

    `name` is the name of the original class, `str(error)` its message.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class DataCloneError(TypeError):
    """A value is not plain data and so can neither be stored nor sent."""


class InvalidAccessError(ValueError):
    """A WebSocket close code that may not be sent."""


class ObjectAbortedError(BaseException):
    """
    Ends the event that called `ctx.abort()`.

    Like at the edge it passes through `except Exception`: an aborted instance must not
    go on. Callers never see this class; they get the reason of the abort.
    """


def mark_remote(error: BaseException) -> None:
    """Say on *error* that it happened on the other side of a call (Cloudflare's `.remote`)."""
    error.remote = True  # type: ignore[attr-defined]  # the name Cloudflare gives it


def remote_copy(error: BaseException, *, remote: bool = True) -> BaseException:
    """
    Return what a caller gets for *error*: same class and message, nothing else of it.

    Custom attributes are lost, as at the edge. A class that cannot be rebuilt from its
    message becomes a `RemoteError` that keeps its name. Where it happened stays as a note.
    """
    message = str(error)
    copy = _rebuilt(error, message)
    if isinstance(error, DurableError) and isinstance(copy, DurableError):
        copy.retryable, copy.overloaded = error.retryable, error.overloaded
    if remote:
        mark_remote(copy)
    place = _place(error)
    if place:
        copy.add_note(place)
    return copy


def _rebuilt(error: BaseException, message: str) -> BaseException:
    kind = type(error)
    try:
        copy = kind(*error.args)
    except Exception:
        # Any signature is possible in a foreign class.
        return RemoteError(kind.__name__, message)
    if not isinstance(error, Exception) or str(copy) != message or not _is_plain(error.args):
        return RemoteError(kind.__name__, message)
    return copy


def _is_plain(args: tuple[object, ...]) -> bool:
    return all(a is None or isinstance(a, (str, bytes, int, float, bool)) for a in args)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f'raised in a Durable Object: "{code.co_filename}", line {trace.tb_lineno}'
