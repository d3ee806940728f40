"""Fixtures that every directory of tests may use."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.support.running_host import RunningHost

pytest_plugins = ("tests.support.end_of_run",)

# A shell that runs us in the background lets us ignore Ctrl-C, and so would what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, and no verdict from the clock: a busy machine is not a defect.
settings.register_profile("edgekeep", derandomize=True, deadline=None, database=None)
settings.load_profile("edgekeep")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator["RunningHost"]:
    """A running host whose profiles lie in KV."""
    # Imported here: most tests need no host, and it takes its time to import.
    from tests.support.running_host import running_host

    async with running_host(tmp_path / "state") as running:
        yield running


@pytest.fixture(params=["kv", "d1"])
async def either(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator["RunningHost"]:
    """A running host, once with profiles in KV and once in D1."""
    from tests.support.running_host import running_host

    async with running_host(tmp_path / "state", PROFILE_STORE=request.param) as running:
        yield running
