"""
The names and addresses by which a host is asked: those of this machine, and those it was given.

A web page can make a browser send requests to 127.0.0.1 under a name of the page's own, and read
the answers (DNS rebinding). A host in development, where callers on this machine are trusted more
than others, therefore answers to its own names alone.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

# A Host header: a name or an address, then perhaps a port (RFC 9110 §7.2).
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)


def name_of(hosts: Sequence[str]) -> str:
    """Return the name that the Host fields *hosts* give, in lower case; "" unless there is one."""
    found = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
    return "" if found is None else found[1]


def is_loopback(address: str | None) -> bool:
    """Tell whether *address* is this machine; what is no IP address is not."""
    peer = _address((address or "").partition("%")[0])
    return peer is not None and peer.is_loopback


class OwnNames:
    """The names of a host that listens at *bound*, beside loopback: *urls* and *given* ones."""

    def __init__(self, bound: str, urls: Iterable[str] = (), given: Iterable[str] = ()) -> None:
        named = [urlsplit(url).hostname or "" for url in urls]
        self._names = {name.lower().strip("[]") for name in (bound, *named, *given)}
        # Rebinding needs a name: who asks by an address meant that address.
        self._takes_addresses = not is_loopback(bound)
        # Clients use few; reading one costs ten times as much as remembering it.
        self._known = lru_cache(maxsize=64)(self._is_own)

    def has(self, hosts: Sequence[str]) -> bool:
        """Whether the Host fields *hosts* name this host; browsers always send one."""
        return not hosts or (len(hosts) == 1 and self._known(hosts[0]))

    def _is_own(self, host: str) -> bool:
        name = name_of((host,)).strip("[]")
        if name in self._names or name == "localhost" or name.endswith(".localhost"):
            return bool(name)
        address = _address(name)
        return address is not None and (self._takes_addresses or address.is_loopback)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
