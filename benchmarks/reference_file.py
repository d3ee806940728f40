"""The yardstick for backups: an aiohttp application that streams a body to a file and back.

``python -m benchmarks.reference_file --port 9000 --file PATH [--sync]``. POST writes the chunks
as they come to a new file and renames it, GET sends it in chunks of 256 KiB. No hashes, no rows,
nobody is asked who they are. With ``--sync`` the file is on the disk before the answer, as ours is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from aiohttp import web

CHUNK = 256 * 1024


def application(file: Path, sync: bool) -> web.Application:
    """Return an application with GET and POST on /v1/backup, and /healthz."""

    async def store(request: web.Request) -> web.Response:
        incoming = file.with_suffix(".incoming")
        with incoming.open("wb", buffering=0) as out:
            async for chunk in request.content.iter_any():
                out.write(chunk)
            if sync:
                await asyncio.to_thread(os.fsync, out.fileno())
        incoming.replace(file)
        return web.json_response({"ok": True})

    async def send(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        with file.open("rb", buffering=0) as source:
            response.content_length = file.stat().st_size
            await response.prepare(request)
            while chunk := source.read(CHUNK):
                await response.write(chunk)
        await response.write_eof()
        return response

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/v1/backup", store)
    app.router.add_get("/v1/backup", send)
    app.router.add_get("/healthz", healthz)
    return app


def main() -> None:
    """Parse the arguments and serve until a signal ends the process."""
    parser = argparse.ArgumentParser(description="A bare aiohttp handler before one file.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True, help="where the body goes")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    parser.add_argument("--sync", action="store_true", help="fsync before the answer")
    options = parser.parse_args()
    loop: asyncio.AbstractEventLoop
    if options.uvloop:
        import uvloop

        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    web.run_app(
        application(options.file, options.sync),
        host="127.0.0.1",
        port=options.port,
        access_log=None,
        print=None,
        loop=loop,
    )


if __name__ == "__main__":
    main()
