"""
The entry of the current workerd: what is deployed, and one more actor, which streams. TEST ONLY.

Python Durable Objects need a Pyodide bundle (tests/edge/current.py).
"""

from typing import Any

from durable.contract import DurableObject
from durable.edge import make_actor_class, unwrapped
from tests.edge.inside import streaming
from worker.entry import edge
from worker.entry.edge import *  # noqa: F403 - the actor classes, which the runtime looks for
from worker.web import Request, Response


class _Streams(DurableObject):
    """Tells events."""

    async def fetch(self, request: Request) -> Response:
        """See `streaming.answer`."""
        return streaming.answer(request)


_Streams.__name__ = "Streams"
Streams = make_actor_class(_Streams, edge.open_env, edge.crossing)


class Default(edge.Default):  # type: ignore[misc, name-defined]  # made where the SDK is
    """The Worker, and the door to the actor."""

    async def fetch(self, request: Any) -> Any:
        """Answer a request."""
        raw = unwrapped(request, "js_object")
        if streaming.DOOR not in str(raw.url):
            return await super().fetch(request)
        ways = edge.crossing(self.ctx)
        namespace = unwrapped(self.env, "_env").STREAMS
        return ways.response_out(await streaming.through(namespace, ways, ways.request_in(raw)))
