"""
A pytest plugin: how `scripts/test` shares the tests out to the workers of pytest-xdist.

A worker takes a file at a time, so that what a file sets up is set up once. Folders whose tests
share a running workerd or Chromium go to one worker as a whole. The slowest go first: whoever is
done early finds short files to go on with.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_WHOLE = ("tests/edge", "tests/browser")
# The rest follows in any order.
_FIRST = ("tests/edge", "tests/browser", "tests/crash", "tests/cli", "tests/bindings")


class _ByFile(LoadScopeScheduling):
    """Files, and some folders, as the pieces of work; in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder in _WHOLE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    """Replace the scheduler, whatever --dist says."""
    config.option.loadscopereorder = False
    return _ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow folders first."""
    rank = {folder: number for number, folder in enumerate(_FIRST)}

    def place(item: pytest.Item) -> int:
        return rank.get("/".join(item.nodeid.split("/")[:2]), len(rank))

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """
    A worker more than there are processors, and three at least: tests wait for much besides.

    None for a few named tests: starting them would take longer than the tests.
    """
    is_narrow = bool(config.option.keyword) or not all(Path(arg).is_dir() for arg in config.args)
    return 0 if is_narrow else max(3, (os.cpu_count() or 2) + 1)
