"""
An actor that streams, one event for each leave of the test: nothing on the way may hold one back.

TEST ONLY. `answer` is the actor's side, `through` the Worker's.
"""

from collections.abc import AsyncIterator
from typing import Any

from durable.edge import Crossing, EdgeNamespace
from worker.entry.edge_tools import EdgeTools
from worker.fetch import Outgoing
from worker.web import Request, Response

DOOR = "/__edge_stream"
ACTOR = "/__edge_actor"
EVENTS = 3


async def _events(gate: str) -> AsyncIterator[bytes]:
    for number in range(EVENTS):
        yield f"data: {number}\n\n".encode()
        # The test opens it when it has received this event.
        await EdgeTools(None).fetch(Outgoing(gate, seconds=30, this_machine=True))


def answer(request: Request) -> Response:
    """Return the actor's answer: server-sent events."""
    return Response(_events(request.query["gate"]), 200, {"Content-Type": "text/event-stream"})


async def through(namespace: Any, ways: Crossing, request: Request) -> Response:
    """Return what the actor behind the raw *namespace* answers, as a door does."""
    stub = EdgeNamespace(namespace, ways).get_by_name("streams")
    response: Response = await stub.fetch(request.forward(ACTOR, request.query))
    return response
