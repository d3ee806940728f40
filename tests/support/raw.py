"""Bytes to a host and back, without a client that would mend them."""

import asyncio
import contextlib
from dataclasses import dataclass

from tests.support.running_host import Answer
from tests.support.waiting import PATIENCE


@dataclass(slots=True)
class RawConnection:
    """One TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send *data* now."""
        self.writer.write(data)
        await self.writer.drain()

    async def cut(self, *, reset: bool = False) -> None:
        """Close the connection; with *reset* without a farewell."""
        if reset:
            self.writer.transport.abort()
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def answer(self, *, no_body: bool = False) -> Answer:
        """Read one answer (of known length, or up to the end of the connection)."""
        async with asyncio.timeout(PATIENCE):
            raw = await self.reader.readuntil(b"\r\n\r\n")
            status_line, *fields = raw.decode("latin-1").split("\r\n")[:-2]
            headers = {}
            for field in fields:
                name, _, value = field.partition(": ")
                headers["-".join(part.capitalize() for part in name.split("-"))] = value
            length = 0 if no_body else int(headers.get("Content-Length", 0))
            body = await self.reader.readexactly(length)
            return Answer(int(status_line.split(" ")[1]), headers, body)


async def connect(port: int) -> RawConnection:
    """Connect to the host at *port* of this machine."""
    return RawConnection(*await asyncio.open_connection("127.0.0.1", port))


def head(method: str, target: str, fields: dict[str, str]) -> bytes:
    """Return the head of a request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
