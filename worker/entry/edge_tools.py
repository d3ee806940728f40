"""The ambient ports of the edge: the platform's clock, dice, sockets, background work, console."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from durable.edge_socket import socket_pair
from worker import interop
from worker.entry import edge_fetch
from worker.entry.edge_crypto import EdgeCrypto
from worker.fetch import BoundedFetch, Fetch
from worker.mail.port import MailPort, NoMail
from worker.schema_check import PortableCheck, SchemaCheck

# crypto.getRandomValues fills at most so many bytes at once (Web Cryptography API §10.1.1).
_DICE_BYTES = 65_536
_SHIPPED = Path(__file__).parents[1] / "api_page" / "files"
# Compiled schemas by `$id`: what takes longest to make, kept as long as the isolate lives.
_CHECKS: dict[str, SchemaCheck] = {}


class EdgeTools:
    """
    Implements `worker.env.Tools`.

    *context* is the JavaScript object with waitUntil: of a request, or of a Durable Object.
    """

    __slots__ = ("_context", "crypto", "fetch", "mail")

    def __init__(self, context: Any) -> None:
        self._context = context
        self.crypto = EdgeCrypto(random_bytes)
        self.fetch: Fetch = BoundedFetch(edge_fetch.exchange, now)
        # Set by `open_env`, which knows the settings.
        self.mail: MailPort = NoMail()

    def now(self) -> float:
        """Return the time as epoch seconds; at the edge it stands still between I/O."""
        return now()

    def random_bytes(self, count: int) -> bytes:
        """Return *count* bytes from the platform's secure source."""
        return random_bytes(count)

    def socket_pair(self) -> tuple[Any, Any]:
        """Return the (client end, server end) of a new WebSocket pair."""
        return socket_pair()

    def schema_check(self, schema: dict[str, Any]) -> SchemaCheck:
        """Return the checker of *schema*, made once for each `$id`."""
        name = schema["$id"]
        if name not in _CHECKS:
            _CHECKS[name] = PortableCheck(schema)
        return _CHECKS[name]

    def shipped(self, name: str) -> bytes | None:
        """Return the file *name* of worker/api_page/files/, or None."""
        path = _SHIPPED / name
        return path.read_bytes() if path.is_file() else None

    def free_bytes(self) -> None:
        """Return None: nobody runs out of disk there."""

    async def pause(self, seconds: float) -> None:
        """Let *seconds* pass."""
        await asyncio.sleep(seconds)

    def wait_until(self, work: Awaitable[Any]) -> None:
        """Keep *work* going, and the invocation alive until it is done."""
        interop.keep_going(self._context, work)


def now() -> float:
    """Return the time as epoch seconds."""
    return float(interop.js_global("Date").now()) / 1000


def random_bytes(count: int) -> bytes:
    """Return *count* bytes from the platform's secure source; never call it at import."""
    pieces = []
    while count > 0:
        dice = interop.construct("Uint8Array", min(count, _DICE_BYTES))
        interop.js_global("crypto").getRandomValues(dice)
        pieces.append(interop.to_bytes(dice))
        count -= _DICE_BYTES
    return b"".join(pieces)


def console_writer() -> Callable[[str], None]:
    """Return a writer of log lines to the console, which Cloudflare collects."""
    console = interop.js_global("console")

    def write(line: str) -> None:
        console.log(line.rstrip("\n"))

    return write
