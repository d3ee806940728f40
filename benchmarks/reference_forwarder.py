"""The yardstick for the relay: aiohttp passes each message from one WebSocket to another.

Run as ``python -m benchmarks.reference_forwarder --port 9000 [--uvloop]``. What is sent at /from
goes to everybody at /to. Nothing is stored, nobody is asked who they are, nothing is answered.
"""

from __future__ import annotations

import argparse
import asyncio

from aiohttp import WSMsgType, web


def application() -> web.Application:
    """Return an application with the doors /from, /to and /healthz."""
    readers: set[web.WebSocketResponse] = set()

    async def forward(request: web.Request) -> web.WebSocketResponse:
        source = web.WebSocketResponse(compress=False)
        await source.prepare(request)
        async for message in source:
            if message.type is WSMsgType.BINARY:
                for reader in readers:
                    await reader.send_bytes(message.data)
        return source

    async def read(request: web.Request) -> web.WebSocketResponse:
        reader = web.WebSocketResponse(compress=False)
        await reader.prepare(request)
        readers.add(reader)
        try:
            async for _ in reader:
                pass
        finally:
            readers.discard(reader)
        return reader

    async def health(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/from", forward)
    app.router.add_get("/to", read)
    app.router.add_get("/healthz", health)
    return app


def main() -> None:
    """Parse the arguments and serve until a signal ends the process."""
    parser = argparse.ArgumentParser(description="A bare aiohttp WebSocket forwarder.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    options = parser.parse_args()
    if options.uvloop:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    web.run_app(
        application(),
        host="127.0.0.1",
        port=options.port,
        access_log=None,
        print=None,
        loop=loop,
        backlog=4096,
    )


if __name__ == "__main__":
    main()
