"""
The entry of the test bundle: the edge entry, a door to single binding calls, and local rooms.

TEST ONLY. This runtime (2024) has no Python Durable Objects and its Python cannot call methods of
JavaScript ones, so the actors run on the laptop's runtime (durable/embedded.py) inside the Worker's
own process, on a file system in memory. What that proves is said in docs/edge.md.
"""

import time
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from durable import object_file
from durable.embedded import Actors
from tests.edge.inside import door, relay, streaming
from worker import interop
from worker.entry import edge
from worker.entry.edge_tools import random_bytes
from worker.env import Env
from worker.profiles.count import recount_nightly
from worker.registry import ACTORS
from worker.schema_check import snake_case

_DOOR = "/__edge_test_door"
_RELAY = "/__edge_relay"

# The nightly job, for suites that emptied KV behind the counter's back.
_RECOUNT = "/__recount"


class Inline(Executor):
    """Does at once what it is given."""

    def __init__(self, *_: Any) -> None:
        """Take the place of a pool of threads."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Return the result of *fn* as a future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


# Pyodide has no threads, and here nothing waits for a disk.
object_file.ThreadPoolExecutor = Inline  # type: ignore[misc, assignment]


async def on_fetch(js_request: Any, js_env: Any, context: Any) -> Any:
    """Answer a request, or a call of the suites."""
    if str(js_request.url).endswith(_DOOR):
        call = interop.to_bytes(await js_request.arrayBuffer())
        outcome = await door.answer(call, js_env)
        return interop.construct("Response", interop.buffer(outcome))
    if streaming.DOOR in str(js_request.url) or streaming.ACTOR in str(js_request.url):
        return await _stream(js_request, js_env, context)
    # Opened and closed with each request: a future of one request must not be settled by another.
    actors = await Actors.open(Path("/tmp/durable"), clock=time.time, random_bytes=random_bytes)
    try:
        if str(js_request.url).endswith(_RECOUNT):
            env = edge.open_env(js_env, context, _rooms_of(actors))
            await recount_nightly(env)
            return interop.construct("Response", "counted")
        if str(js_request.url).endswith(_RELAY):
            env = edge.open_env(js_env, context, _rooms_of(actors))
            return interop.construct("Response", await relay.exchange(env, context))
        return await edge.answer(js_request, js_env, context, _rooms_of(actors))
    finally:
        await actors.close()


async def _stream(js_request: Any, js_env: Any, context: Any) -> Any:
    """Stand on both sides of a Durable Object in JavaScript, which asks this Worker (rooms.mjs)."""
    ways = edge.crossing(context)
    request = ways.request_in(js_request)
    if request.path == streaming.ACTOR:
        return ways.response_out(streaming.answer(request))
    return ways.response_out(await streaming.through(js_env.STREAMS, ways, request))


def _rooms_of(actors: Actors) -> edge.Bind:
    def bind(env: Env, js_env: Any, context: Any) -> None:
        for class_name, factory in ACTORS.items():
            slot = snake_case(class_name).removeprefix("_")
            setattr(env, slot, actors.bind(class_name, factory, env))

    return bind
