"""
Native Python Durable Objects in the current workerd, with the bundle as it is deployed.

Left out, and said so at the end of the run, where no Pyodide bundle can be had.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.edge.current import running_current
from tests.edge.edge_host import EdgeHost
from tests.edge.test_streams import events_arrive_one_by_one
from tests.edge.workerd import Workerd
from tests.support.profiles import ids, many
from tests.support.running_host import messages
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module")
def started(node: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workerd]:
    """The current workerd."""
    with running_current(tmp_path_factory.mktemp("workerd")) as current:
        yield current


@pytest.fixture
async def current(started: Workerd) -> AsyncIterator[EdgeHost]:
    """A client of it."""
    async with ClientSession(connector=TCPConnector(force_close=True)) as session:
        yield EdgeHost(started.url.rstrip("/"), session)


async def test_an_import_runs_in_its_room(current: EdgeHost) -> None:
    """500 lines through the ImportRoom: stored, reported, and told over the progress socket."""
    import_id = "imp_20261121080000_aaaaaa"
    async with current.watch(import_id) as socket:
        answer = await current.send_profiles(many(500), f"?id={import_id}")
        told = await asyncio.wait_for(messages(socket), PATIENCE)

    assert answer.status == 200, answer.body
    assert answer.json()["profiles_stored"] == 500
    assert told[0]["event"] == "waiting"
    assert told[-1]["event"] == "report"
    assert (await current.report(import_id))["profiles_stored"] == 500
    assert [one["profile_id"] for one in await current.stored()] == ids(500)


async def test_a_key_is_arbitrated_by_its_box(current: EdgeHost) -> None:
    """Of eight equal requests at once one imports; the others wait for it or get its answer."""
    key = {"Idempotency-Key": "once"}
    rivals = [current.send_profiles(many(50), headers=key) for _ in range(8)]
    answers = await asyncio.gather(*rivals)

    assert {answer.status for answer in answers} <= {200, 409}
    fresh = [a for a in answers if a.status == 200 and "Idempotent-Replayed" not in a.headers]
    assert len(fresh) == 1
    again = await current.send_profiles(many(50), headers=key)
    assert again.body == fresh[0].body


async def test_an_atomic_import_is_staged_in_the_room(current: EdgeHost) -> None:
    """The rows wait in the object's SQL storage until the body has ended."""
    answer = await current.send_profiles(many(300), "?mode=atomic")

    assert answer.status == 200, answer.body
    assert answer.json()["profiles_stored"] == 300


async def test_an_actor_streams(started: Workerd) -> None:
    """Server-sent events of a Python actor arrive one by one."""
    await events_arrive_one_by_one(started.url)
