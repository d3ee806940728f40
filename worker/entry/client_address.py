"""
Whose request it is, behind proxies.

Anybody can send X-Forwarded-For. Only what a proxy of ours appended counts: the field is read from
the right, past the addresses of TRUSTED_PROXIES, and only when the peer is one of them. RFC 7239's
Forwarded is not read at all: a proxy that writes one of the two passes the other on as a client
sent it, so a host may believe one only, and nearly all write X-Forwarded-For.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from worker.setting_kinds import Network

# More proxies in a row than this are a forged field.
_HOPS = 32
Address = IPv4Address | IPv6Address


class TrustedProxies:
    """The networks whose word about their client counts."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        # Peers are few: the proxies themselves.
        self._known: dict[str, bool] = {}

    @classmethod
    def of(cls, networks: Sequence[Network]) -> "TrustedProxies | None":
        """Return what trusts *networks*, or None when there are none."""
        return cls(networks) if networks else None

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """
        Return the address of the client of a request from *peer*.

        *forwarded*: the X-Forwarded-For fields in their order. Past an entry that is no address
        nothing is believed; then it is the last proxy that was known.
        """
        if not self.trusts(peer):
            return peer
        client = peer
        for entry in reversed(",".join(forwarded).split(",")[-_HOPS:]):
            address = _read(entry)
            if address is None:
                return client
            client = str(address)
            if not self._trusts(address):
                return client
        return client

    def trusts(self, peer: str) -> bool:
        """Whether *peer* is one of our proxies."""
        known = self._known.get(peer)
        if known is None:
            address = _read(peer)
            known = address is not None and self._trusts(address)
            if len(self._known) < 1000:
                self._known[peer] = known
        return known

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _read(entry: str) -> Address | None:
    """Read an address, perhaps with a port (`1.2.3.4:567`, `[::1]:567`); None for anything else."""
    text = entry.strip(" \t")
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _is_port(port[1:], port[0])):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port, ":"):
            return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def _is_port(text: str, before: str) -> bool:
    return before == ":" and text.isascii() and text.isdecimal() and len(text) <= 5
