"""
Durable Objects of Cloudflare behind our contract: the Worker's side and the object's side.

The Worker wraps a raw namespace binding: `EdgeNamespace(env.ROOM, crossing)`. The entry module
makes one Workers class of each portable actor class and exports it under the class_name of
wrangler.toml: `make_actor_class(Room, make_env, make_crossing)`. Requests and responses pass
through a `Crossing` that the entry gives us, because bindings do not know the Worker.

Calls go through one JavaScript method, `edgekeepCall(text) -> text` (`durable/edge_calls.py`). Seen
in Cloudflare's runtime: only names without a leading underscore are callable, and the runtime
awaits them. Nothing here runs at import.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from durable.contract import (
    AlarmInfo,
    DurableObject,
    ObjectId,
    ObjectNamespace,
    ObjectStub,
    check_hex,
)
from durable.edge_calls import RAISED_HEADER, answer_call, pack_call, pack_error, unpack_answer
from durable.edge_context import EdgeContext, close_answer
from durable.edge_socket import EdgeSocket as EdgeSocket
from durable.edge_socket import js_socket as js_socket
from durable.edge_socket import socket_pair as socket_pair
from durable.edge_values import call_errors, errors_as
from durable.errors import SocketStateError
from worker import interop


@dataclass(frozen=True, slots=True)
class Crossing:
    """
    How requests and responses cross; the four functions may be sync or async.

    A response that accepted an upgrade carries an `EdgeSocket` (or the bare JavaScript socket:
    `js_socket` takes both) on the Python side and `webSocket` on the JavaScript side.
    """

    request_out: Callable[[Any], Any]
    """Portable request -> JavaScript Request with an absolute URL (any host)."""
    request_in: Callable[[Any], Any]
    """JavaScript Request -> portable request."""
    response_out: Callable[[Any], Any]
    """Portable response -> JavaScript Response."""
    response_in: Callable[[Any], Any]
    """JavaScript Response -> portable response."""


# -- the Worker's side ---------------------------------------------------------------------------


class EdgeNamespace(ObjectNamespace):
    """All objects of one class, over a raw DurableObjectNamespace."""

    def __init__(self, js_namespace: Any, crossing: Crossing) -> None:
        self._js = unwrapped(js_namespace, "_binding")
        self._crossing = crossing

    def id_from_name(self, name: str) -> ObjectId:
        if not isinstance(name, str):
            raise TypeError(f"A name must be str, not {type(name).__name__}.")
        return ObjectId(str(self._js.idFromName(name).toString()), name)

    def new_unique_id(self) -> ObjectId:
        return ObjectId(str(self._js.newUniqueId().toString()))

    def id_from_string(self, hex: str) -> ObjectId:
        return ObjectId(str(self._js_id(check_hex(hex)).toString()))

    def get(self, id: ObjectId) -> ObjectStub:
        js_id = self._js_id(id.hex)
        if id.name is not None:
            # Only an id made from the name tells the object its name (`ctx.id.name`).
            named = self._js.idFromName(id.name)
            js_id = named if str(named.toString()) == id.hex else js_id
        return EdgeStub(self._js.get(js_id), id, self._crossing)

    def _js_id(self, hex: str) -> Any:
        with errors_as(TypeError):
            return self._js.idFromString(hex)


class EdgeStub(ObjectStub):
    """A handle on one object."""

    __slots__ = ("_crossing", "_js", "id")

    def __init__(self, js_stub: Any, id: ObjectId, crossing: Crossing) -> None:
        self._js = js_stub
        self._crossing = crossing
        self.id = id

    async def fetch(self, request: Any) -> Any:
        js_request = await _value(self._crossing.request_out(request))
        with call_errors():
            response = await self._js.fetch(js_request)
        if not interop.is_none(response.headers.get(RAISED_HEADER)):
            return unpack_answer(str(await response.text()))
        return await _value(self._crossing.response_in(response))

    async def call(self, method: str, *args: Any) -> Any:
        text = pack_call(method, args)
        with call_errors():
            answer = await self._js.edgekeepCall(text)
        return unpack_answer(str(answer))


# -- the object's side ---------------------------------------------------------------------------


def make_actor_class(
    portable_class: type[DurableObject],
    make_env: Callable[[Any, Any], Any],
    make_crossing: Callable[[Any], Crossing],
) -> Any:
    """
    Return the Workers class that runs *portable_class*, under the same name.

    *make_env* receives the raw JavaScript env and ctx of an instance and returns the actor's env;
    *make_crossing* receives the ctx (its `waitUntil` keeps streamed bodies going). Call this from
    the entry module only: it imports `workers`, which exists in the edge runtime alone.
    """
    from workers import DurableObject as WorkersObject

    class Actor(WorkersObject):  # type: ignore[misc]  # the SDK is not installed on a laptop
        """The names of these methods are Cloudflare's."""

        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            js_ctx = unwrapped(ctx, "_ctx")
            actor_env = make_env(unwrapped(env, "_env"), js_ctx)
            actor = portable_class(EdgeContext(js_ctx), actor_env)
            self._events = ActorEvents(actor, make_crossing(js_ctx))

        async def fetch(self, request: Any) -> Any:
            return await self._events.fetch(unwrapped(request, "js_object"))

        async def alarm(self, info: Any = None) -> None:
            await self._events.alarm(info)

        async def webSocketMessage(self, ws: Any, message: Any) -> None:  # noqa: N802
            await self._events.message(ws, message)

        async def webSocketClose(  # noqa: N802
            self, ws: Any, code: Any, reason: Any, was_clean: Any
        ) -> None:
            await self._events.close(ws, code, reason, was_clean)

        async def webSocketError(self, ws: Any, error: Any) -> None:  # noqa: N802
            await self._events.error(ws, error)

        async def edgekeepCall(self, text: Any) -> str:  # noqa: N802
            return await self._events.call(text)

    Actor.__name__ = Actor.__qualname__ = portable_class.__name__
    Actor.__doc__ = portable_class.__doc__
    return Actor


class ActorEvents:
    """The events of one instance, converted for the portable actor."""

    __slots__ = ("_actor", "_crossing")

    def __init__(self, actor: DurableObject, crossing: Crossing) -> None:
        self._actor = actor
        self._crossing = crossing

    async def fetch(self, js_request: Any) -> Any:
        """Answer a request; an exception becomes a marked response that the stub raises again."""
        try:
            handler = self._handler("fetch")
            if handler is None:
                raise TypeError("Handler does not export a fetch() function.")
            request = await _value(self._crossing.request_in(js_request))
            response = await _value(handler(request))
            if response is None:
                raise TypeError(
                    "Incorrect type for Promise: the Promise did not resolve to 'Response'."
                )
            return await _value(self._crossing.response_out(response))
        except Exception as error:
            return _raised_response(error)

    async def alarm(self, info: Any) -> None:
        """Ring. An exception goes to the runtime, which rings again (facts/bindings.md D5)."""
        handler = self._handler("alarm")
        if handler is not None:
            await handler(_alarm_info(info))

    async def message(self, ws: Any, message: Any) -> None:
        """Deliver one message of a socket."""
        handler = self._handler("web_socket_message")
        if handler is not None:
            await handler(EdgeSocket(ws), interop.data_in(message))

    async def close(self, ws: Any, code: Any, reason: Any, was_clean: Any) -> None:
        """Deliver the peer's close, then answer it unless the actor did."""
        socket = EdgeSocket(ws)
        handler = self._handler("web_socket_close")
        try:
            if handler is not None:
                await handler(socket, int(code), str(reason), bool(was_clean))
        finally:
            close_answer(socket, int(code))

    async def error(self, ws: Any, error: Any) -> None:
        """Deliver a failure of a socket."""
        handler = self._handler("web_socket_error")
        if handler is not None:
            text = interop.member(error, "message")
            await handler(EdgeSocket(ws), SocketStateError(str(error if text is None else text)))

    async def call(self, text: Any) -> str:
        """Answer `ObjectStub.call`."""
        return await answer_call(self._actor, str(text))

    def _handler(self, name: str) -> Any:
        """Return the handler of the class, bound; None when it has none."""
        if getattr(type(self._actor), name, None) is None:
            return None
        return getattr(self._actor, name)


def _alarm_info(info: Any) -> AlarmInfo:
    """Read Cloudflare's info; an older runtime gives none, or no scheduled time."""
    if interop.is_none(info):
        return AlarmInfo(0, 0)
    return AlarmInfo(_number(info, "scheduledTime"), _number(info, "retryCount"))


def _number(info: Any, name: str) -> int:
    value = interop.member(info, name)
    if value is None:
        return 0
    return int(value if isinstance(value, (int, float)) else value.getTime())


def _raised_response(error: Exception) -> Any:
    headers = interop.plain_object(**{RAISED_HEADER: "1"})
    options = interop.plain_object(status=500, headers=headers)
    return interop.construct("Response", pack_error(error), options)


def unwrapped(value: Any, attribute: str) -> Any:
    """Return the JavaScript object inside a wrapper of Cloudflare's SDK, or *value* itself."""
    if type(value).__module__.partition(".")[0] != "workers":
        return value
    return getattr(value, attribute, value)


async def _value(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
