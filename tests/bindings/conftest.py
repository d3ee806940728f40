"""Fixtures: stores on every adapter."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from d1_schema.contract import D1Database
from kv.contract import KVNamespace
from tests.bindings.adapters import D1_ADAPTERS, KV_ADAPTERS, Clock


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture(params=KV_ADAPTERS)
async def kv(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[KVNamespace]:
    """An empty namespace, on each adapter in turn."""
    namespace = await KV_ADAPTERS[request.param](tmp_path, clock)
    yield namespace
    await namespace.close()


@pytest.fixture(params=D1_ADAPTERS)
async def d1(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[D1Database]:
    """An empty database, on each adapter in turn."""
    database = await D1_ADAPTERS[request.param](tmp_path)
    yield database
    await database.close()
