"""
An actor's events reach the client one by one, through a Durable Object and the Worker.

In workerd of 2024 the object is JavaScript and asks the Python Worker, which so stands on both
sides of it: what is proven is each crossing of edge_http, and that nothing holds a chunk back. The
same with a Python object: test_durable_objects.py, where a Pyodide bundle can be had.
"""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from aiohttp.test_utils import TestServer

from tests.edge.inside.streaming import DOOR, EVENTS
from tests.edge.workerd import NODE_FOLDER, Workerd, running, worker_options
from tests.support.running_host import SECRETS


@pytest.fixture(scope="module")
def with_rooms(node: None) -> Iterator[Workerd]:
    """workerd with the Worker, and beside it a Worker with the Durable Object."""
    streams = {"className": "Streams", "scriptName": "rooms"}
    main = {"name": "main", **worker_options(SECRETS, 0), "durableObjects": {"STREAMS": streams}}
    rooms = {
        "name": "rooms",
        "compatibilityDate": "2024-10-01",
        "modules": [
            {
                "type": "ESModule",
                "path": "rooms.mjs",
                "contents": (NODE_FOLDER / "rooms.mjs").read_text(),
            }
        ],
        "durableObjects": {"STREAMS": "Streams"},
        "serviceBindings": {"PYTHON": "main"},
    }
    with running({"workers": [main, rooms]}) as started:
        yield started


async def test_events_arrive_one_by_one(with_rooms: Workerd) -> None:
    """The next event is made only when the one before has been received."""
    await events_arrive_one_by_one(with_rooms.url)


async def events_arrive_one_by_one(url: str) -> None:
    """Read the stream of the Worker at *url* in step with its actor."""
    received = asyncio.Semaphore(0)

    async def gate(_request: web.Request) -> web.Response:
        await received.acquire()
        return web.Response()

    app = web.Application()
    app.router.add_get("/gate", gate)
    async with (
        TestServer(app) as server,
        ClientSession(timeout=ClientTimeout(total=60)) as session,
        session.get(
            f"{url.rstrip('/')}{DOOR}", params={"gate": f"http://127.0.0.1:{server.port}/gate"}
        ) as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        for number in range(EVENTS):
            assert await answer.content.readuntil(b"\n\n") == b"data: %d\n\n" % number
            received.release()
        assert await answer.content.read() == b""
