"""
JavaScript values in and out: the floor under every edge file.

Nothing of `js` or `pyodide` is touched at import, so that the module loads anywhere and holds no
JavaScript object when Cloudflare freezes a start-up snapshot. Works on Pyodide 0.26 (2024, JS null
is None) and newer ones (null is `pyodide.ffi.jsnull`). Source: facts/bindings.md F3, F6, F8.

Rules kept here, so that no adapter has to know them: `undefined`, `null` and `jsnull` are None;
a dict becomes a plain Object (never a Map); bytes become a Uint8Array, ArrayBuffers and views
bytes; a JavaScript Date is an aware datetime; an Error that was thrown is a `JsError`.
"""

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Cloudflare allows six connections of one invocation at a time; more only wait.
PARALLEL: Final = 6


class JsError(Exception):
    """
    A JavaScript exception: *name* is its class, `str(e)` its message.

    *retryable* and *overloaded* are the marks that Cloudflare sets on its own (bindings.md D1, D7).
    """

    def __init__(
        self, name: str, message: str, *, retryable: bool = False, overloaded: bool = False
    ) -> None:
        super().__init__(message)
        self.name = name
        self.retryable = retryable
        self.overloaded = overloaded


def js_global(name: str) -> Any:
    """Return the JavaScript global *name*, e.g. "Response"."""
    import js

    return getattr(js, name)


def is_none(value: Any) -> bool:
    """Whether *value* is None or stands for JavaScript's null or undefined."""
    return value is None or type(value).__name__ in ("JsNull", "JsUndefined")


def member(value: Any, name: str) -> Any:
    """Return property *name* of a JavaScript object; None when it is missing, null or undefined."""
    found = getattr(value, name, None)
    return None if is_none(found) else found


def text(value: Any) -> str:
    """Return a variable as a setting reads it: what is no text (a list of [vars]) as JSON."""
    if isinstance(value, str):
        return value
    from js import JSON

    return str(JSON.stringify(value))


def class_of(value: Any) -> str:
    """Return the name of a JavaScript object's class, e.g. "Map"; "" for everything else."""
    constructor = member(value, "constructor")
    return "" if constructor is None else str(member(constructor, "name") or "")


def buffer(data: bytes | bytearray | memoryview) -> Any:
    """Return a Uint8Array with a copy of *data*."""
    from pyodide.ffi import to_js

    return to_js(data)


def plain_object(**members: Any) -> Any:
    """
    Return a plain Object of the *members* that are not None.

    For option bags: to_js() of a dict makes a Map, which JavaScript silently ignores there.
    """
    from pyodide.ffi import to_js

    given = {name: value for name, value in members.items() if value is not None}
    return to_js(given, dict_converter=js_global("Object").fromEntries)


def array(values: Sequence[Any]) -> Any:
    """Return an Array of *values*: JavaScript objects, str, numbers, bools."""
    from pyodide.ffi import to_js

    return to_js(list(values))


def from_json(text: str) -> Any:
    """Return the JavaScript value that *text* writes; the only way to a null inside one."""
    return js_global("JSON").parse(text)


def json_array(values: Sequence[str | bytes | float | None]) -> Any:
    """Return an Array in which None is null and bytes are a Uint8Array (parameters of D1)."""
    shown = [None if isinstance(value, bytes) else value for value in values]
    made = from_json(json.dumps(shown, ensure_ascii=False))
    for index, value in enumerate(values):
        if isinstance(value, bytes):
            made[index] = buffer(value)
    return made


def date(moment: datetime) -> Any:
    """Return a JavaScript Date (milliseconds)."""
    return js_global("Date").new(round(moment.timestamp() * 1000))


def construct(name: str, *arguments: Any) -> Any:
    """Return `new name(...)`."""
    return js_global(name).new(*arguments)


def apply(owner: Any, method: str, arguments: Any) -> Any:
    """Call *method* of *owner* with the Array *arguments*: nulls in it stay nulls."""
    return js_global("Reflect").apply(getattr(owner, method), owner, arguments)


def to_json(value: Any) -> Any:
    """
    Return a JavaScript value as plain Python data by way of JSON.

    One crossing for the whole value, however large, and alike on every Pyodide: numbers without a
    fraction are int, null is None, a Date is text. None for undefined.
    """
    if is_none(value):
        return None
    text = js_global("JSON").stringify(value)
    return None if is_none(text) else json.loads(text)


def to_bytes(value: Any) -> bytes:
    """Return the bytes of an ArrayBuffer or a view; the JavaScript side may be freed after it."""
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    try:
        data: bytes = value.to_bytes()
    finally:
        free(value)
    return data


def data_out(data: str | bytes) -> Any:
    """Return text as it is and bytes as a Uint8Array."""
    return data if isinstance(data, str) else buffer(data)


def data_in(value: Any) -> str | bytes:
    """Undo `data_out`; takes every kind of buffer."""
    return value if isinstance(value, str) else to_bytes(value)


def to_datetime(value: Any) -> datetime:
    """Return a JavaScript Date as an aware UTC datetime."""
    return datetime.fromtimestamp(int(value.getTime()) / 1000, UTC)


def free(*values: Any) -> None:
    """Let go of JavaScript objects; what is no proxy of one is passed over."""
    for value in values:
        destroy = getattr(value, "destroy", None)
        if callable(destroy) and type(value).__name__.startswith("Js"):
            destroy()


def thrown(error: BaseException) -> JsError | None:
    """Return *error* as a `JsError` when JavaScript threw it, else None."""
    if isinstance(error, JsError):
        return error
    if not any(kind.__name__ == "JsException" for kind in type(error).__mro__):
        return None
    name, message = member(error, "name"), member(error, "message")
    if message is None:
        # What was thrown is no Error: all there is is its text.
        name, _, message = str(error).partition(": ")
    retryable, overloaded = (member(error, mark) is True for mark in ("retryable", "overloaded"))
    return JsError(str(name or "Error"), str(message), retryable=retryable, overloaded=overloaded)


async def call(owner: Any, method: str, *arguments: Any) -> Any:
    """
    Call *method* of the JavaScript object *owner* and await what it promises.

    null and undefined are None; what is thrown, at once or later, is raised as a `JsError`.
    """
    try:
        result = getattr(owner, method)(*arguments)
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:
        found = thrown(error)
        if found is None:
            raise
        raise found from None
    return None if is_none(result) else result


async def all_of(work: Sequence[Callable[[], Awaitable[T]]], parallel: int = PARALLEL) -> list[T]:
    """Run *work*, at most *parallel* at a time, and return the results in order."""
    gate = asyncio.Semaphore(parallel)

    async def one(step: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await step()

    tasks = [asyncio.ensure_future(one(step)) for step in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        # After a failure nothing goes on behind the caller's back.
        for task in tasks:
            task.cancel()


def once(function: Callable[..., Any]) -> Any:
    """Return a JavaScript function that calls *function* and is let go of after one call."""
    from pyodide.ffi import create_once_callable

    return create_once_callable(function)


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
    hooks: list[Any] = []
    promise = construct("Promise", once(lambda *both: hooks.extend(both)))
    resolve, reject = hooks

    async def run() -> None:
        try:
            outcome.result = await work()
        except BaseException as error:
            outcome.error = error
            reject(construct("Error", str(error) or type(error).__name__))
        else:
            resolve()

    task = asyncio.ensure_future(run())
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)
    return promise


# asyncio holds tasks weakly; this keeps them until they are done.
_RUNNING: set["asyncio.Future[None]"] = set()


def keep_going(context: Any, work: Awaitable[Any]) -> None:
    """Start *work* and tell *context*.waitUntil to wait for it; its failure goes to the console."""

    async def run() -> None:
        try:
            await work
        except Exception as error:
            js_global("console").error(f"background work failed: {type(error).__name__}: {error}")

    context.waitUntil(promise_of(run, Outcome()))


class StreamReader:
    """Reads a ReadableStream; one reader, front to back. None is an empty stream."""

    def __init__(self, stream: Any) -> None:
        self._reader = None if is_none(stream) else stream.getReader()

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end. Raises `JsError` when the stream fails."""
        while self._reader is not None:
            try:
                step = await call(self._reader, "read")
            except JsError:
                self._let_go()
                raise
            chunk = b"" if step.done else to_bytes(step.value)
            if step.done:
                self._let_go()
            free(step)
            if chunk:
                return chunk
        return b""

    def cancel(self) -> None:
        """Give up what was not read. Repeatable; never raises."""
        if self._reader is not None:
            with contextlib.suppress(Exception):
                self._reader.cancel()
            self._let_go()

    def _let_go(self) -> None:
        reader, self._reader = self._reader, None
        free(reader)


async def read_stream(stream: Any) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a ReadableStream; whoever stops early cancels it. Raises `JsError`."""
    reader = StreamReader(stream)
    try:
        while chunk := await reader.read():
            yield chunk
    finally:
        reader.cancel()


async def write_stream(chunks: AsyncIterator[bytes], writable: Any) -> None:
    """
    Write *chunks* to a WritableStream, waiting for the reader where it is slow, and close it.

    When the source fails the stream is aborted and the error raised; when the reader went away the
    source is closed and nothing is raised: there is nobody left to tell.
    """
    writer = writable.getWriter()
    try:
        try:
            async for chunk in chunks:
                if chunk:
                    await call(writer, "write", buffer(chunk))
            await call(writer, "close")
        except JsError:
            return
        except BaseException:
            await call(writer, "abort", "the source of this stream failed")
            raise
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
        free(writer)


def stream_of(
    chunks: AsyncIterator[bytes],
    keep_alive: Callable[[Awaitable[None]], None],
    length: int | None = None,
) -> Any:
    """
    Return a ReadableStream that tells *chunks*; *keep_alive* receives the work of filling it.

    With *length* it is a FixedLengthStream (R2 takes no other), else an IdentityTransformStream.
    """
    if length is None:
        pair = js_global("IdentityTransformStream").new()
    else:
        pair = js_global("FixedLengthStream").new(length)
    keep_alive(write_stream(chunks, pair.writable))
    return pair.readable
