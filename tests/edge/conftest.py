"""Fixtures: real workerd once per session. Without Node the tests say what was not proven."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import NoReturn

import pytest
from aiohttp import ClientSession, TCPConnector

from d1_schema.migrate import apply_migrations
from scripts.edge.toolchain import install
from tests.edge import current
from tests.edge.edge_host import EdgeHost
from tests.edge.remote import RemoteDatabase, empty
from tests.edge.workerd import (
    NODE_FOLDER,
    Workerd,
    missing_tool,
    running,
    running_pyodide,
    worker_options,
)
from tests.support.end_of_run import NOT_PROVEN
from tests.support.running_host import ROOT, SECRETS

# Empty stores for the suites: KV and D1 need few, R2 one for each test.
STORES = 60


def _not_proven(tool: str) -> NoReturn:
    text = f"NOT PROVEN: nothing ran in real workerd, because {tool} is not installed"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def node() -> None:
    """Node with the packages of package-lock.json."""
    tool = missing_tool()
    if tool is not None:
        _not_proven(tool)
    install(NODE_FOLDER)


@pytest.fixture(scope="session")
def workerd(node: None) -> Iterator[Workerd]:
    """Real workerd with the Worker over KV, and stores for the suites."""
    variables = {**SECRETS, "PROFILE_STORE": "kv"}
    with running(worker_options(variables, STORES), STORES) as started:
        yield started


@pytest.fixture(scope="session")
def workerd_d1(node: None) -> Iterator[Workerd]:
    """Real workerd with the Worker over D1."""
    with running(worker_options({**SECRETS, "PROFILE_STORE": "d1"}, 0)) as started:
        yield started


@pytest.fixture(scope="session")
def pyodide(node: None) -> Iterator[Workerd]:
    """The edge adapters in the current Pyodide."""
    with running_pyodide(2) as started:
        yield started


@pytest.fixture(params=["workerd", "workerd_d1"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[EdgeHost]:
    """The Worker in workerd with empty stores, once with profiles in KV and once in D1."""
    started: Workerd = request.getfixturevalue(request.param)
    async with edge_host(started) as host:
        yield host


@pytest.fixture
async def host(workerd: Workerd) -> AsyncIterator[EdgeHost]:
    """The Worker in workerd with empty stores and profiles in KV."""
    async with edge_host(workerd) as started:
        yield started


@contextlib.asynccontextmanager
async def edge_host(workerd: Workerd) -> AsyncIterator[EdgeHost]:
    """Empty the stores of *workerd*'s Worker and open a client."""
    db = RemoteDatabase(workerd, "DB")
    await apply_migrations(db, ROOT / "d1_schema" / "migrations", "d1_migrations")
    await empty(workerd, db)
    # workerd hangs up when an answer comes before the end of the body: no connection is used twice.
    async with ClientSession(connector=TCPConnector(force_close=True)) as session:
        yield EdgeHost(workerd.url.rstrip("/"), session)


# Not a skip, which would fail a CI without network: the end of the run says what was left out.
collect_ignore = []
if not current.available():
    collect_ignore.append("test_durable_objects.py")
    NOT_PROVEN.add(
        "Python Durable Objects in real workerd. No Pyodide bundle: set EDGE_PYODIDE_DIR or go "
        "online (tests/edge/current.py). The offline runtime has no Python Durable Objects, so the "
        "imports above ran on the laptop's rooms inside the Worker's process "
        "(tests/edge/inside/main.py)."
    )
