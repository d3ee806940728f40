"""`ctx` at the edge: what the Workers runtime hands to one instance."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from durable.contract import ObjectContext, ObjectId, check_auto_response, check_tags
from durable.edge_socket import EdgeSocket, js_socket
from durable.edge_storage import EdgeStorage
from durable.edge_values import socket_errors, storage_errors
from durable.errors import ObjectAbortedError, SocketStateError
from worker import interop
from worker.interop import Outcome


class EdgeContext(ObjectContext):
    """The context of one instance, over the raw DurableObjectState."""

    __slots__ = ("_js", "id", "storage")

    def __init__(self, js_ctx: Any) -> None:
        self._js = js_ctx
        name = interop.member(js_ctx.id, "name")
        self.id = ObjectId(str(js_ctx.id.toString()), None if name is None else str(name))
        self.storage = EdgeStorage(js_ctx.storage)

    def block_concurrency_while(self, fn: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        outcome = Outcome()
        begin = interop.once(lambda: interop.promise_of(lambda: _awaited(fn), outcome))
        promise = self._js.blockConcurrencyWhile(begin)
        return asyncio.ensure_future(_settled(promise, outcome))

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        interop.keep_going(self._js, awaitable)

    def abort(self, reason: str | Exception = "") -> None:
        # JavaScript's abort ends the stack on the spot, and Python's event loop with it: so it
        # happens after Python has unwound.
        text = str(reason)
        interop.js_global("queueMicrotask")(interop.once(lambda: self._js.abort(text)))
        raise ObjectAbortedError(text)

    def accept_web_socket(self, ws: Any, tags: Iterable[str] = ()) -> None:
        distinct = check_tags(tags)
        with socket_errors():
            self._js.acceptWebSocket(js_socket(ws), interop.array(distinct))

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
        pair = check_auto_response(request, response or "")
        js_pair = interop.construct("WebSocketRequestResponsePair", *pair)
        self._js.setWebSocketAutoResponse(js_pair)

    def get_web_socket_auto_response(self) -> tuple[str, str] | None:
        pair = self._js.getWebSocketAutoResponse()
        return None if interop.is_none(pair) else (str(pair.request), str(pair.response))

    def get_web_socket_auto_response_timestamp(self, ws: Any) -> int | None:
        with socket_errors():
            stamp = self._js.getWebSocketAutoResponseTimestamp(js_socket(ws))
        return None if interop.is_none(stamp) else int(stamp.getTime())


async def _awaited(fn: Callable[[], Awaitable[Any]]) -> Any:
    result = fn()
    return await result if inspect.isawaitable(result) else result


async def _settled(promise: Any, outcome: Outcome) -> Any:
    with storage_errors(outcome):
        await promise
    return outcome.result


def close_answer(socket: EdgeSocket, code: int) -> None:
    """
    Answer the peer's close, as the local runtime does; facts/bindings.md D6 says why.

    1005 and 1006 stand for "no code" and may not be sent.
    """
    try:
        socket.close(1000 if code in (1005, 1006) else code)
    except (TypeError, ValueError, SocketStateError):
        return  # closed by the handler, or gone: nothing is left to answer
