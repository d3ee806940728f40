"""`ctx` at the edge: what the Workers runtime hands to one instance."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from durable.contract import ObjectContext, ObjectId, check_auto_response, check_tags
from durable.edge_socket import EdgeSocket, js_socket
from durable.edge_storage import EdgeStorage
from durable.edge_values import (
    Outcome,
    is_absent,
    is_js_error,
    js_list,
    promise_of,
    socket_errors,
    translated,
)
from durable.errors import ObjectAbortedError, ObjectResetError, SocketStateError


class EdgeContext(ObjectContext):
    """The context of one instance, over the raw DurableObjectState."""

    __slots__ = ("_js", "id", "storage")

    def __init__(self, js_ctx: Any) -> None:
        self._js = js_ctx
        name = getattr(js_ctx.id, "name", None)
        self.id = ObjectId(str(js_ctx.id.toString()), None if is_absent(name) else str(name))
        self.storage = EdgeStorage(js_ctx.storage)

    def block_concurrency_while(self, fn: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        from pyodide.ffi import create_once_callable

        outcome = Outcome()
        begin = create_once_callable(lambda: promise_of(lambda: _awaited(fn), outcome))
        promise = self._js.blockConcurrencyWhile(begin)
        return asyncio.ensure_future(_settled(promise, outcome))

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        self._js.waitUntil(promise_of(lambda: _logged(awaitable), Outcome()))

    def abort(self, reason: str | Exception = "") -> None:
        from js import queueMicrotask
        from pyodide.ffi import create_once_callable

        # JavaScript's abort ends the stack on the spot, and Python's event loop with it: so it
        # happens after Python has unwound.
        text = str(reason)
        queueMicrotask(create_once_callable(lambda: self._js.abort(text)))
        raise ObjectAbortedError(text)

    def accept_web_socket(self, ws: Any, tags: Iterable[str] = ()) -> None:
        distinct = check_tags(tags)
        with socket_errors():
            self._js.acceptWebSocket(js_socket(ws), js_list(distinct))

    def get_web_sockets(self, tag: str | None = None) -> list[Any]:
        found = self._js.getWebSockets() if tag is None else self._js.getWebSockets(tag)
        return [EdgeSocket(socket) for socket in found]

    def get_tags(self, ws: Any) -> list[str]:
        with socket_errors():
            return [str(tag) for tag in self._js.getTags(js_socket(ws))]

    def set_web_socket_auto_response(
        self, request: str | None = None, response: str | None = None
    ) -> None:
        if request is None:
            self._js.setWebSocketAutoResponse()
            return
        from js import WebSocketRequestResponsePair

        pair = check_auto_response(request, response or "")
        self._js.setWebSocketAutoResponse(WebSocketRequestResponsePair.new(*pair))

    def get_web_socket_auto_response(self) -> tuple[str, str] | None:
        pair = self._js.getWebSocketAutoResponse()
        return None if is_absent(pair) else (str(pair.request), str(pair.response))

    def get_web_socket_auto_response_timestamp(self, ws: Any) -> int | None:
        with socket_errors():
            stamp = self._js.getWebSocketAutoResponseTimestamp(js_socket(ws))
        return None if is_absent(stamp) else int(stamp.getTime())


async def _awaited(fn: Callable[[], Awaitable[Any]]) -> Any:
    result = fn()
    return await result if inspect.isawaitable(result) else result


async def _settled(promise: Any, outcome: Outcome) -> Any:
    try:
        await promise
    except Exception as error:
        outcome.raise_error()
        if not is_js_error(error):
            raise
        raise translated(error, ObjectResetError) from None
    return outcome.result


async def _logged(awaitable: Awaitable[Any]) -> None:
    try:
        await awaitable
    except Exception as error:
        from js import console

        console.error(f"wait_until failed: {type(error).__name__}: {error}")


def close_answer(socket: EdgeSocket, code: int) -> None:
    """
    Answer the peer's close, as the local runtime does; facts/bindings.md D6 says why.

    1005 and 1006 stand for "no code" and may not be sent.
    """
    try:
        socket.close(1000 if code in (1005, 1006) else code)
    except (TypeError, ValueError, SocketStateError):
        return  # closed by the handler, or gone: nothing is left to answer
