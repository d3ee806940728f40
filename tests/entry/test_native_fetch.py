"""The host's fetch against a real server: limits, deadlines, names that lead inside."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.support.fetch_server import CASES, HEADERS, Case, fetch_server
from worker.entry.host_tools import HostTools
from worker.entry.native_fetch import NativeExchange
from worker.fetch import FetchFailed, Outgoing


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """The address of the server."""
    async with fetch_server() as address:
        yield address


class Names(AbstractResolver):
    """Finds *addresses*, whatever the name."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses."""
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def outcome(url: str, **members: Any) -> tuple[int, str] | str:
    """Return (status, body) of the answer, or the reason why there is none."""
    if isinstance(members.get("body"), str):
        members["body"] = members["body"].encode()
    request = Outgoing(url, headers=HEADERS, this_machine=True, **members)
    try:
        answer = await HostTools().fetch(request)
    except FetchFailed as error:
        return error.reason
    return answer.status, answer.body.decode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path} {list(case.members)}")
async def test_every_request_ends_as_the_table_says(server: str, case: Case) -> None:
    """The same table holds in real workerd (tests/edge/test_fetch.py)."""
    assert await outcome(server + case.path, **case.members) == case.outcome


async def test_what_was_packed_unasked_is_refused(server: str) -> None:
    """We ask for plain bodies, whose size is the size that we count."""
    assert await outcome(f"{server}/packed") == "encoding"


async def test_nobody_there_may_pass(server: str) -> None:
    """A connection that is refused is worth another try."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(FetchFailed) as caught:
            await HostTools().fetch(Outgoing(url, this_machine=True))

    assert (caught.value.reason, caught.value.passing) == ("network", True)


@pytest.mark.parametrize(
    "found", [("127.0.0.1",), ("10.1.2.3", "::1"), ("::ffff:127.0.0.1",), ("64:ff9b::7f00:1",)]
)
async def test_a_name_that_leads_inside_is_not_followed(
    server: str, found: tuple[str, ...]
) -> None:
    """The address is judged where the socket is made, so a second look-up cannot change it."""
    port = server.rpartition(":")[2]
    exchange = NativeExchange(Names(*found))

    with pytest.raises(FetchFailed) as caught:
        await exchange(Outgoing(f"https://rebound.example:{port}/"), 5)

    assert (caught.value.reason, caught.value.passing) == ("address", False)


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]"])
async def test_literal_addresses_are_judged_there_too(host: str) -> None:
    """aiohttp looks no literal up; whatever came past `check_url` meets the socket's judge."""
    with pytest.raises(FetchFailed) as caught:
        await NativeExchange()(Outgoing(f"https://{host}:9/"), 5)

    assert caught.value.reason == "address"


async def test_leave_for_this_machine_is_not_leave_for_its_network() -> None:
    """A name of this machine that resolves elsewhere is refused."""
    exchange = NativeExchange(Names("10.0.0.1"))

    with pytest.raises(FetchFailed) as caught:
        await exchange(Outgoing("http://localhost:9/", this_machine=True), 5)

    assert caught.value.reason == "address"
