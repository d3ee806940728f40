"""Our host with a few more routes: single calls of the bindings, for the benchmarks alone.

``python -m benchmarks.bench_doors --port 9000 --state DIR`` serves what `edgekeep dev` serves, and
PUT /bench/kv?key=, GET and PUT /bench/d1?id=, POST /bench/counter: the doors of
miniflare/worker.mjs; and POST /bench/sessions?name=&count=, which spares the cost of signing in.
They pass through the same host, pipeline and bindings as every other door.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from durable.contract import DurableObject, ObjectNamespace
from durable.embedded import Actors
from scripts.cli.place import Place
from worker.entry import host
from worker.env import Env
from worker.errors import NotFound
from worker.identity.caller import ANYONE, Caller
from worker.identity.sessions import SignIn, begin
from worker.identity.usernames import account_of
from worker.route_table import Handler, Route
from worker.routes import ROUTES
from worker.web import JSON, Request, Response

BODY_LIMIT = 1 << 20
CREATE = "CREATE TABLE IF NOT EXISTS bench_items (id TEXT PRIMARY KEY, document TEXT NOT NULL)"
SELECT = "SELECT id, document FROM bench_items WHERE id = ?"
INSERT = "INSERT OR REPLACE INTO bench_items (id, document) VALUES (?, ?)"


class Counter(DurableObject):
    """Reads a number, adds one, writes it; the reply waits until the write is durable."""

    async def add(self) -> int:
        """Return the number after the addition."""
        following = int(await self.ctx.storage.get("n") or 0) + 1
        await self.ctx.storage.put("n", following)
        return following


async def write_key(request: Request, _caller: Caller, env: Env) -> Response:
    """PUT /bench/kv?key=: store the body as text in PROFILES_KV."""
    text = (await request.read(BODY_LIMIT)).decode()
    await env.profiles_kv.put(request.query["key"], text)
    return Response(None, 204)


async def write_row(request: Request, _caller: Caller, env: Env) -> Response:
    """PUT /bench/d1?id=: store the body as a row."""
    text = (await request.read(BODY_LIMIT)).decode()
    await env.db.prepare(CREATE).run()
    await env.db.prepare(INSERT).bind(request.query["id"], text).run()
    return Response(None, 204)


async def point_query(request: Request, _caller: Caller, env: Env) -> Response:
    """GET /bench/d1?id=: answer the document of one row."""
    row = await env.db.prepare(SELECT).bind(request.query["id"]).first()
    if row is None:
        raise NotFound("There is no such row.")
    return Response(row["document"].encode(), 200, {"Content-Type": JSON})


def counter_door(directory: Path) -> Handler:
    """POST /bench/counter?name=: add one in the object of that name.

    The wrangler configuration does not know the class, so it gets a runtime of its own.
    """
    opened: list[ObjectNamespace] = []

    async def count(request: Request, _caller: Caller, env: Env) -> Response:
        if not opened:
            actors = await Actors.open(directory, clock=time.time, random_bytes=os.urandom)
            opened.append(actors.bind("Counter", Counter, env))
        stub = opened[0].get_by_name(request.query.get("name", "one"))
        return Response.json({"n": await stub.call("add")})

    return count


async def open_sessions(request: Request, _caller: Caller, env: Env) -> Response:
    """POST /bench/sessions?name=&count=: open sessions; answer the refresh tokens, one a line."""
    account_id = await account_of(env, request.query["name"])
    if account_id is None:
        raise NotFound("There is no such account.")
    who = SignIn(account_id, "password")
    grants = [await begin(env, who) for _ in range(int(request.query["count"]))]
    return Response("".join(f"{grant.refresh_token}\n" for grant in grants).encode())


def doors(directory: Path) -> tuple[Route, ...]:
    """Return the real doors with the extra ones."""
    extra = (
        Route("PUT", "/bench/kv", write_key, ANYONE),
        Route("GET", "/bench/d1", point_query, ANYONE),
        Route("PUT", "/bench/d1", write_row, ANYONE),
        Route("POST", "/bench/sessions", open_sessions, ANYONE),
        Route("POST", "/bench/counter", counter_door(directory), ANYONE),
    )
    return (*ROUTES, *extra)


def main() -> int:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser(description="Edgekeep with the routes of the benchmarks.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()
    place = Place.of(argparse.Namespace(config=None, state=options.state))
    return host.serve(
        place.config,
        place.state,
        place.variables,
        host="127.0.0.1",
        port=options.port,
        routes=doors(place.state / "bench-durable"),
    )


if __name__ == "__main__":
    sys.exit(main())
