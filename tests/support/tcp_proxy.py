"""A TCP proxy that fails as networks and full servers do: cuts, dribbles, answers 507."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_FULL = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass
class Proxy:
    """Forwards connections to `target`; the fields may change at any time."""

    target: int
    port: int = 0
    cut_up: int | None = None
    """Cut a connection when so many bytes of it have gone to the server."""
    cut_down: int | None = None
    """Cut a connection when so many bytes of it have come from the server."""
    is_full: bool = False
    """Answer every PUT and POST with 507."""
    cuts: int = 0
    """How often a connection was cut."""
    running: set[asyncio.Task[None]] = field(default_factory=set)
    """The connections there are."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        up = asyncio.ensure_future(self._pump(reader, far_writer, writer, is_up=True))
        down = asyncio.ensure_future(self._pump(far_reader, writer, writer, is_up=False))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            for end in (writer, far_writer):
                end.transport.abort()
                end.close()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        *,
        is_up: bool,
    ) -> None:
        passed = 0
        while data := await reader.read(65_536):
            if is_up and self.is_full and data.startswith((b"PUT", b"POST")):
                client.write(_FULL)
                await client.drain()
                await asyncio.sleep(0.05)
                return
            limit = self.cut_up if is_up else self.cut_down
            passed += len(data)
            if limit is not None and passed > limit:
                self.cuts += 1
                return
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()


@contextlib.asynccontextmanager
async def proxy_to(target: int) -> AsyncIterator[Proxy]:
    """A proxy to a port of this machine, on a port of its own."""
    proxy = Proxy(target)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.serve(reader, writer))
        proxy.running.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await task
        writer.close()
        proxy.running.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        left = list(proxy.running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.01)
