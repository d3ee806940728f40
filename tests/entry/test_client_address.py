"""Whose request it is: X-Forwarded-For counts as far as our own proxies wrote it."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.running_host import running_host
from worker.entry.client_address import TrustedProxies
from worker.env import Env
from worker.identity.caller import ANYONE, Caller
from worker.route_table import Route
from worker.web import Request, Response

_PROXY = "10.0.0.1"
_TRUSTED = TrustedProxies([ip_network(text) for text in ("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
        (_PROXY, [], _PROXY),
        (_PROXY, [""], _PROXY),
        (_PROXY, ["1.2.3.4"], "1.2.3.4"),
        (_PROXY, ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (_PROXY, ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (_PROXY, ["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4"),
        (_PROXY, ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (_PROXY, ["1.2.3.4, unknown"], _PROXY),
        (_PROXY, ["1.2.3.4, unknown, 10.9.9.9"], "10.9.9.9"),
        (_PROXY, ["garbage, 1.2.3.4"], "1.2.3.4"),
        (_PROXY, ["1.2.3.4:5678"], "1.2.3.4"),
        (_PROXY, ["[2001:db8::1]:443"], "2001:db8::1"),
        (_PROXY, ["2001:DB8::1"], "2001:db8::1"),
        (_PROXY, ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("fd00::5", ["1.2.3.4"], "1.2.3.4"),
        (_PROXY, ["fe80::1%eth0"], _PROXY),
        (_PROXY, ["1.2.3.4\t"], "1.2.3.4"),
        (_PROXY, ["01.2.3.4"], _PROXY),
        (_PROXY, ["127.1"], _PROXY),
        (_PROXY, ["1.2.3.4:x"], _PROXY),
        (_PROXY, ["[1.2.3.4"], _PROXY),
        (_PROXY, [", ".join(["10.0.0.2"] * 10_000)], "10.0.0.2"),
        ("", ["1.2.3.4"], ""),
        ("unix:", ["1.2.3.4"], "unix:"),
    ],
)
def test_the_field_is_read_from_the_right(peer: str, forwarded: list[str], client: str) -> None:
    """Past our proxies to the first stranger; what a client wrote to the left of it is its own."""
    assert _TRUSTED.client(peer, forwarded) == client


_STRANGER = st.ip_addresses().filter(
    lambda address: (
        not any(
            address in ip_network(text)
            for text in ("10.0.0.0/8", "fd00::/8", "127.0.0.1/32", "::ffff:0:0/96")
        )
    )
)
_ANYTHING = st.lists(st.text(st.characters(exclude_characters="\r\n\0")), max_size=5)


@given(forged=_ANYTHING, real=_STRANGER, hops=st.integers(0, 5))
def test_nothing_a_client_sends_changes_its_address(
    forged: list[str], real: object, hops: int
) -> None:
    """Whatever stands left of what our proxies appended."""
    appended = [str(real), *["10.3.2.1"] * hops]
    assert _TRUSTED.client(_PROXY, [*forged, ", ".join(appended)]) == str(real)


@given(forged=_ANYTHING, peer=_STRANGER)
def test_a_stranger_is_its_own_peer(forged: list[str], peer: object) -> None:
    """Without a trusted proxy between, nothing is read."""
    assert _TRUSTED.client(str(peer), forged) == str(peer)


@given(forged=_ANYTHING)
def test_the_answer_is_always_an_address(forged: list[str]) -> None:
    """Garbage is never handed on."""
    ip_address(_TRUSTED.client(_PROXY, forged))


async def test_the_host_goes_by_the_setting(tmp_path: Path) -> None:
    """Nothing is believed by default; a listed proxy is; the header of Cloudflare never."""

    async def tell(request: Request, caller: Caller, env: Env) -> Response:
        return Response.json({"remote": request.remote})

    forged = {
        "X-Forwarded-For": "6.6.6.6, 1.2.3.4",
        "CF-Connecting-IP": "7.7.7.7",
        "Forwarded": "for=8.8.8.8",
        "X-Real-IP": "9.9.9.9",
    }
    doors = [Route("GET", "/remote", tell, ANYONE)]
    for proxies, seen in (("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("127.0.0.1", "1.2.3.4")):
        async with running_host(
            tmp_path / (proxies[:2] or "none"), doors, TRUSTED_PROXIES=proxies
        ) as host:
            answer = await host.get("/remote", headers=forged)
            assert answer.json() == {"remote": seen}
            assert seen == "127.0.0.1" or (await host.get("/remote")).json()["remote"] != seen
