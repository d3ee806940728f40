"""Stores on every adapter, and the table at the end: how many measured lines agree."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from d1_schema.contract import D1Database
from kv.contract import KVNamespace
from tests.bindings.adapters import D1_ADAPTERS, KV_ADAPTERS, Clock
from tests.bindings.fault_runs import TOLD
from tests.bindings.golden_lines import DIFFERS, MISSING, PASSED, VERDICTS


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how the adapters stand against Cloudflare's answers, and what fault runs counted."""
    if TOLD:
        terminalreporter.write_sep("-", "fault runs")
        for line in TOLD:
            terminalreporter.write_line(line)
    if not VERDICTS:
        return
    verdicts = (PASSED, DIFFERS, MISSING)
    terminalreporter.write_sep("-", "contract x adapter, lines measured at Cloudflare")
    terminalreporter.write_line(f"{'':20}" + "".join(f"{verdict:>20}" for verdict in verdicts))
    for contract, adapter in sorted({(c, a) for c, a, _ in VERDICTS}):
        counts = "".join(f"{VERDICTS[contract, adapter, verdict]:>20}" for verdict in verdicts)
        terminalreporter.write_line(f"{contract + ' x ' + adapter:20}" + counts)
