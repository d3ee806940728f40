"""
The fetch port (`env.tools.fetch`): HTTP to somebody else's server, bounded on every side.

An address may come from outside (a discovery document, a redirect), so it is judged before each
hop: https, a public host, no user in it. The platform's `Exchange` bounds the rest: on a host what
a name resolves to is judged where the socket is made; at the edge the platform reaches no private
network. An answer ends at a deadline for all hops together and at a number of bytes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from typing import Final, Literal, Protocol
from urllib.parse import urljoin

from worker.limits import MIB
from worker.web import Headers

Address = IPv4Address | IPv6Address
Reason = Literal[
    "address", "certificate", "encoding", "network", "redirect", "timeout", "too large"
]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Fields that may follow a redirect to another origin.
_HARMLESS: Final = frozenset({"accept", "accept-language", "user-agent"})
# Printable ASCII without the backslash, which browsers' parsers take for a slash.
_URL = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253})(:[0-9]{1,5})?([/?#][!-\[\]-~]*)?",
    re.ASCII,
)
_URL_LENGTH: Final = 4096
# A last label of this form makes a host an IPv4 address for browsers' parsers and for getaddrinfo.
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
# https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 sister; spelt out,
# because `ipaddress.is_global` changes with Python's version.
_NOT_PUBLIC_V4: Final = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.0.2.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv4Network("224.0.0.0/4"),
    IPv4Network("240.0.0.0/4"),
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# Teredo and other protocols' own, documentation, 6to4 (which wraps an IPv4 address).
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class FetchFailed(Exception):  # noqa: N818 - says what happened
    """
    There is no answer. Neither *reason* nor the text quotes the address, which may hold a key.

    *passing*: the same request may go through later.
    """

    def __init__(self, reason: Reason, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Outgoing:
    """
    One request. *seconds* and *max_bytes* bound its answer; None: the body is left unread.

    As many *redirects* are followed, of GET and HEAD alone; with 0 the redirect is the answer.
    *this_machine* lets it reach loopback, also without TLS: for addresses that the operator gave.
    """

    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    seconds: float = 10.0
    max_bytes: int | None = MIB
    redirects: int = 0
    this_machine: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, of whatever status."""

    status: int
    headers: Headers
    body: bytes


class Fetch(Protocol):
    """What `env.tools.fetch` is."""

    async def __call__(self, request: Outgoing) -> Fetched:
        """Return the answer; raises `FetchFailed`."""


class Exchange(Protocol):
    """
    A platform's part: one hop, within *seconds*, to a URL that `check_url` has let pass.

    `request.this_machine` says that the URL names this machine; else only public hosts are asked.
    """

    async def __call__(self, request: Outgoing, seconds: float) -> Fetched:
        """Return the answer, a redirect too; raises `FetchFailed`."""


class BoundedFetch:
    """Implements `Fetch` over the *exchange* of a platform; *clock* counts seconds."""

    __slots__ = ("_clock", "_exchange")

    def __init__(self, exchange: Exchange, clock: Callable[[], float]) -> None:
        self._exchange = exchange
        self._clock = clock

    async def __call__(self, request: Outgoing) -> Fetched:
        """See `Fetch`."""
        end = self._clock() + request.seconds
        for followed in range(request.redirects + 1):
            local = check_url(request.url, this_machine=request.this_machine)
            left = end - self._clock()
            if left <= 0:
                break
            answer = await self._exchange(replace(request, this_machine=local), left)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None or request.redirects == 0:
                return answer
            if request.method not in ("GET", "HEAD") or followed == request.redirects:
                raise FetchFailed("redirect")
            request = _next(request, location)
        raise FetchFailed("timeout", passing=True)


def _next(request: Outgoing, location: str) -> Outgoing:
    """Return *request* readdressed; what was meant for one origin does not reach another."""
    url = urljoin(request.url, location)
    if _origin(url) == _origin(request.url):
        return replace(request, url=url)
    kept = {name: value for name, value in request.headers.items() if name.lower() in _HARMLESS}
    return replace(request, url=url, headers=kept, this_machine=False)


def _origin(url: str) -> tuple[str | None, ...]:
    found = _URL.fullmatch(url)
    return () if found is None else (found[1], found[2].lower(), found[3])


def check_url(url: str, *, this_machine: bool = False) -> bool:
    """
    Raise `FetchFailed` unless *url* may be asked, as far as can be told without a look-up.

    Returns whether it names this machine, which only *this_machine* allows.
    """
    found = _URL.fullmatch(url)
    if found is None or len(url) > _URL_LENGTH:
        raise FetchFailed("address")
    scheme, host = found[1], found[2].lower().rstrip(".")
    try:
        address = _literal(host)
    except AddressValueError:
        raise FetchFailed("address") from None
    local = host == "localhost" if address is None else is_loopback(address)
    if local and this_machine:
        return True
    inside = local or host.endswith(".localhost")
    if scheme != "https" or inside or not host or (address and not is_public(address)):
        raise FetchFailed("address")
    return False


def _literal(host: str) -> Address | None:
    """Return the address that *host* is, None for a name; raises AddressValueError when odd."""
    if host.startswith("["):
        return IPv6Address(host[1:-1])
    return IPv4Address(host) if _NUMERIC.fullmatch(host.rpartition(".")[2]) else None


def is_public(address: Address) -> bool:
    """
    Whether *address* belongs to the open internet.

    Addresses that wrap an IPv4 one (mapped, NAT64, 6to4, Teredo) never do: nobody needs them, and
    they lead into private networks.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _GLOBAL_UNICAST and not any(address in one for one in _NOT_PUBLIC_V6)


def is_loopback(address: Address) -> bool:
    """Whether *address* is this machine."""
    return any(address in network for network in _LOOPBACK)
