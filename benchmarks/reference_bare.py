"""The yardstick for HTTP doors: an aiohttp application whose one handler returns fixed bytes.

Run as ``python -m benchmarks.reference_bare --port 9000 --body FILE [--uvloop]``. It has what any
aiohttp handler has to pay for (parsing, routing, writing) and nothing else: no access log, no
middleware, no look-up. uvloop is a flag because the comparison is fair only on the loop that the
measured host itself uses.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from aiohttp import web


def application(body: bytes, path: str) -> web.Application:
    """Return an application that answers GET on `path` with `body` as application/json."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get(path, answer)
    return app


def main() -> None:
    """Parse the arguments and serve until a signal ends the process."""
    parser = argparse.ArgumentParser(description="A bare aiohttp handler that returns one file.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--body", type=Path, required=True, help="file with the bytes to return")
    parser.add_argument("--path", default="/api/profiles/item")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    options = parser.parse_args()
    app = application(options.body.read_bytes(), options.path)
    if options.uvloop:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=options.port, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
