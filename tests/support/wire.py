"""A TCP wire between a client and a server that a test cuts and delays, with or without TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator


class Wire:
    """
    Passes bytes between connections to `port` and a server at *target*.

    `cut_up` and `cut_down` are budgets of bytes towards the server and back: the piece that would
    exceed one is shortened, and the connection is cut. Each cut happens once.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.cut_up: int | None = None
        self.cut_down: int | None = None
        self._delay: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._delayed: set[asyncio.StreamReader] = set()
        self._open: set[asyncio.StreamReader] = set()

    def delay(self) -> asyncio.Event:
        """
        Keep what the connections of this moment send up until the event is set.

        It is delivered then even if the client has gone, as a network may do.
        """
        self._delay = asyncio.Event()
        self._delayed = set(self._open)
        return self._delay

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        self._open.add(reader)
        ways = [
            asyncio.create_task(self._carry_up(reader, to_server)),
            asyncio.create_task(self._carry_down(from_server, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._open.discard(reader)
            for end in (writer, to_server):
                end.transport.abort()
            self._tasks.discard(task)

    async def _carry_up(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while True:
            data = await _some(reader)
            if self._delay is not None and reader in self._delayed:
                await self._delay.wait()
            if not data:
                if reader in self._delayed:
                    await asyncio.sleep(0.2)  # let the server read before it learns of the end
                return
            if self.cut_up is not None:
                self.cut_up -= len(data)
                if self.cut_up < 0:
                    to.write(data[: self.cut_up])
                    self.cut_up = None
                    await to.drain()
                    return
            to.write(data)
            await to.drain()

    async def _carry_down(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await _some(reader):
            if self.cut_down is not None:
                self.cut_down -= len(data)
                if self.cut_down < 0:
                    to.write(data[: self.cut_down])
                    self.cut_down = None
                    await to.drain()
                    return
            to.write(data)
            await to.drain()

    async def close(self) -> None:
        """End every connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _some(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except ConnectionError:
        return b""


@contextlib.asynccontextmanager
async def wire_to(target: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Give a wire to *target*; with *tls* it speaks TLS to its clients."""
    wire = Wire(target)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0, ssl=tls)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await wire.close()
        await server.wait_closed()
