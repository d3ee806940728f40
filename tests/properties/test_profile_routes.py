"""The host's routes and the portable matcher lead every path to the same door."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.raw import connect, head
from tests.support.running_host import RunningHost
from worker.route_table import RouteTable
from worker.routes import ROUTES

TABLE = RouteTable(ROUTES)
_SEGMENTS = sorted({part for route in ROUTES for part in route.path.split("/")})
_ODD = st.sampled_from(["", ".", "..", "%2F", "%2e", "a%20b", "x", "%", "%zz", "~", ":", "@", "é"])
_PATHS = st.lists(st.sampled_from(_SEGMENTS) | _ODD, min_size=1, max_size=5).map(
    lambda parts: "/" + "/".join(parts).replace("{", "").replace("}", "")
)
_KNOWN = st.sampled_from([route.path for route in ROUTES]).map(
    lambda path: path.replace("{", "p%2F").replace("}", "")
)


def test_no_door_stands_twice_and_each_is_found() -> None:
    """Every row of the table is reached by its own path."""
    for route in ROUTES:
        found = TABLE.match(route.path.replace("{", "x-").replace("}", ""))
        assert found is not None
        resource, params = found
        assert route in resource.methods.values()
        assert set(params) == {part[1:-1] for part in route.path.split("/") if part.startswith("{")}


@pytest.fixture(scope="module")
def paths() -> list[str]:
    """Return a few hundred paths, mostly near those of the table."""
    collected: list[str] = []

    @settings(max_examples=200)
    @given(path=_PATHS | _KNOWN)
    def collect(path: str) -> None:
        collected.append(path.encode().decode("latin-1"))

    collect()
    return collected


async def test_the_host_and_the_matcher_agree(paths: list[str], host: RunningHost) -> None:
    """The route that the host logs is the one that the matcher finds, for any path."""
    for path in paths:
        connection = await connect(host.port)
        await connection.send(head("OPTIONS", path, {}))
        answer = await connection.answer()
        await connection.cut()
        [event] = host.events()
        host.log.clear()
        if event["event"] == "not_http":
            assert answer.status == 400
            assert not path.isascii()
        else:
            found = TABLE.match(path)
            assert event["route"] == (found[0].path if found is not None else "(none)"), path
