"""What the slices' tests leave in their hosts' stores has holders."""

from collections.abc import Iterator

import pytest

from tests.support import running_host
from tests.support.held import check_keys


@pytest.fixture(scope="package", autouse=True)
def _holders() -> Iterator[None]:
    """Ask each host of these tests, before it closes, for keys that no holder owns."""
    running_host.AT_END.append(check_keys)
    yield
    running_host.AT_END.remove(check_keys)
