"""
The host's side of the fetch port: one hop by aiohttp.

An address is judged where its socket is made, after every look-up: what a name resolves to may
change between a look-up of ours and the one that connects (DNS rebinding). Each hop has a session
of its own, so that no connection, cookie or proxy of another is used.
"""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from worker.fetch import Address, Fetched, FetchFailed, Outgoing, is_loopback, is_public
from worker.web import Headers

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from aiohttp.abc import AbstractResolver

_CHUNK: Final = 65_536


class _RefusedError(OSError):
    """The address is none that may be connected to."""


class NativeExchange:
    """Implements `worker.fetch.Exchange`; *resolver* looks names up, by default the system's."""

    __slots__ = ("_resolver",)

    def __init__(self, resolver: "AbstractResolver | None" = None) -> None:
        self._resolver = resolver

    async def __call__(self, request: Outgoing, seconds: float) -> Fetched:
        """See `Exchange`."""
        # Loaded with the first request: starting a host does not wait for it.
        from aiohttp import ClientError, ClientOSError, ClientSSLError

        try:
            async with asyncio.timeout(seconds):
                return await self._ask(request)
        except TimeoutError:
            raise FetchFailed("timeout", passing=True) from None
        except ClientSSLError:
            raise FetchFailed("certificate") from None
        except ClientOSError as error:
            cause = error.__cause__
            if isinstance(cause, _RefusedError):
                raise FetchFailed("address") from None
            raise FetchFailed("network", passing=True) from None
        except (ClientError, OSError, ValueError):
            raise FetchFailed("network", passing=True) from None

    async def _ask(self, request: Outgoing) -> Fetched:
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector
        from yarl import URL

        connector = TCPConnector(
            socket_factory=_sockets(is_loopback if request.this_machine else is_public),
            resolver=self._resolver,
            force_close=True,
        )
        headers = {"User-Agent": "edgekeep", "Accept-Encoding": "identity", **request.headers}
        async with (
            ClientSession(
                connector=connector, cookie_jar=DummyCookieJar(), auto_decompress=False
            ) as session,
            session.request(
                request.method,
                # As it was judged: nothing is encoded anew.
                URL(request.url, encoded=True),
                headers=headers,
                data=request.body,
                allow_redirects=False,
            ) as response,
        ):
            told = Headers()
            for name, value in response.headers.items():
                told.add(name, value)
            return Fetched(response.status, told, await _body(response, request.max_bytes))


async def _body(response: "ClientResponse", max_bytes: int | None) -> bytes:
    if max_bytes is None:
        return b""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        # It was not asked for, and small ones unpack to large ones.
        raise FetchFailed("encoding")
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > max_bytes:
            raise FetchFailed("too large")
    return bytes(body)


def _sockets(may: Callable[[Address], bool]) -> Callable[[Any], socket.socket]:
    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, where = info
        try:
            allowed = may(ip_address(where[0]))
        except ValueError:
            # What only getaddrinfo reads, such as 127.1.
            allowed = False
        if not allowed:
            raise _RefusedError("This address may not be connected to.")
        return socket.socket(family, kind, protocol)

    return make
