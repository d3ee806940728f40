"""The client side of the verbs that talk to a running server."""

import contextlib
import os
import socket
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clients.python.answers import read_problem, sentence
from scripts.cli.access import development_token
from scripts.cli.outcome import REFUSED, UNREACHABLE, CliError, tell
from scripts.cli.place import Place, add_place

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

# Long enough for an import's commit, short enough to notice a server that is gone, in seconds.
_CONNECT_SECONDS = 5


def add_server(parser: ArgumentParser) -> None:
    """Give *parser* the options of a verb that talks to a server."""
    parser.add_argument(
        "--url", help="the server (default: the host of the state, else http://127.0.0.1:8788)"
    )
    parser.add_argument(
        "--token", help="access token (default: made here for the host of the state)"
    )
    add_place(parser)


class Target:
    """A server and what lets us in; *scope* is one or several, with blanks between."""

    def __init__(self, options: Namespace, scope: str) -> None:
        place = Place.of(options)
        self.url = (options.url or place.url).rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CliError(f"{self.url} is not an address like http://127.0.0.1:8788.")
        ours = place.own_address(self.url)
        self.url = ours or self.url
        self._certificate = place.certificate_of(self.url)
        self._token = options.token or ""
        if scope and not self._token:
            if ours:
                self._token = development_token(place, scope.split())
            else:
                first = scope.split()[0]
                tell(
                    f"edgekeep: {self.url} is not known as the host of {place.state}, so no token "
                    f"was made for it. If it needs one: --token (edgekeep token --scope {first})."
                )

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def session(self, **timeouts: float) -> AbstractAsyncContextManager["ClientSession"]:
        """Yield a client session that carries the token; see `reach`."""
        return reach(self.url, self.headers, certificate=self._certificate, **timeouts)


@contextlib.asynccontextmanager
async def reach(
    url: str, headers: Mapping[str, str] | None = None, *, certificate: str = "", **timeouts: float
) -> AsyncIterator["ClientSession"]:
    """
    Yield a client session on *url*; connection failures inside become a `CliError`.

    *certificate*: see `Place.certificate_of`.
    """
    import asyncio

    import aiohttp

    sockets: list[socket.socket] = []

    def open_socket(info: Any) -> socket.socket:
        sockets.append(socket.socket(*info[:3]))
        return sockets[-1]

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, **timeouts)
    trusted = aiohttp.Fingerprint(bytes.fromhex(certificate)) if certificate else True
    connector = aiohttp.TCPConnector(socket_factory=open_socket, ssl=trusted)
    try:
        async with aiohttp.ClientSession(
            url + "/", headers=headers, timeout=timeout, connector=connector
        ) as session:
            yield session
    except asyncio.CancelledError:
        # Ctrl-C. Closing alone would first send what waits here, and the server would go on.
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        raise
    except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch):
        raise CliError(
            f"{url} does not show a certificate that is trusted here. Is it the right server?",
            UNREACHABLE,
        ) from None
    except aiohttp.ClientConnectorError as error:
        reason = os.strerror(error.os_error.errno) if error.os_error.errno else "no answer"
        raise CliError(
            f"{url} cannot be reached ({reason}). Is it running? Start it with: edgekeep dev",
            UNREACHABLE,
        ) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        text = str(error) or type(error).__name__
        raise CliError(f"The connection to {url} broke: {text}.", UNREACHABLE) from None


async def read_json(response: "ClientResponse") -> Any:
    """Return the JSON of a successful *response*; raises `CliError` with the server's reason."""
    if response.status >= 400:
        raise await refusal(response)
    return await response.json(content_type=None)


async def refusal(response: "ClientResponse") -> CliError:
    """Return what the problem document of *response* says, as a sentence."""
    return said(response.status, await read_problem(response))


def said(status: int, problem: dict[str, Any]) -> CliError:
    """Return the *problem* document of an answer as a sentence, with the exit code."""
    return CliError(sentence(status, problem), REFUSED if status < 500 else UNREACHABLE)
