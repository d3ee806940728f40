"""The edge's fetch in real workerd against a real server: the same table as on a host."""

from collections.abc import AsyncIterator

import pytest

from tests.edge.workerd import Workerd
from tests.support.fetch_server import CASES, HEADERS, Case, fetch_server


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """The address of the server."""
    async with fetch_server() as address:
        yield address


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path} {list(case.members)}")
async def test_every_request_ends_as_the_table_says(
    workerd: Workerd, server: str, case: Case
) -> None:
    """Statuses, bodies cut by their size, deadlines, redirects."""
    members = {"headers": HEADERS, "this_machine": True, **case.members}

    assert await workerd.run("fetch", server + case.path, members) == case.outcome


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "https://2130706433/", "https://[::1]/"])
async def test_addresses_inside_are_not_asked(workerd: Workerd, url: str) -> None:
    """Not without leave, however they are spelt."""
    assert await workerd.run("fetch", url, {}) == "address"
