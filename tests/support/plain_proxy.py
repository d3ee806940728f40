"""A reverse proxy here that says nothing of whom it speaks for: nginx with bare proxy_pass."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def plain_proxy(upstream: int, *, password: bool = False) -> AsyncIterator[int]:
    """
    Yield the port of a proxy to the port *upstream* of this machine.

    It sends what nginx sends with nothing but `proxy_pass http://127.0.0.1:PORT`: HTTP/1.0, the
    Host of its upstream, Connection: close, the other fields as they came (read off its wire).
    *password*: as behind auth_basic, whose credential goes on to the upstream.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            there, back = await asyncio.open_connection("127.0.0.1", upstream)
            with contextlib.closing(back):
                back.write(_passed_on(head, upstream, password=password).encode("latin-1"))
                while data := await there.read(65536):
                    writer.write(data)
                    await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _passed_on(head: str, upstream: int, *, password: bool) -> str:
    request, *fields = head.split("\r\n")[:-2]
    kept = [one for one in fields if not one.lower().startswith(("host:", "connection:"))]
    if password:
        kept.append("Authorization: Basic YTpi")
    start = request.replace("HTTP/1.1", "HTTP/1.0")
    lines = [start, f"Host: 127.0.0.1:{upstream}", "Connection: close", *kept]
    return "\r\n".join(lines) + "\r\n\r\n"
