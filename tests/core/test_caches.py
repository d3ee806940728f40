"""What a process remembers is bounded by bytes, whatever strangers write."""

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from worker.errors import Unauthorized
from worker.identity.access import Access
from worker.identity.tokens import issue
from worker.schema_check import FORMATS
from worker.setting_kinds import Keyring, Secret

KEYS = Keyring("k", {"k": Secret(b"k" * 32)})
LONG = "x" * 100_000


def _dates(number: int) -> None:
    assert not FORMATS["date"](f"{number}{LONG}")
    assert not FORMATS["date-time"](f"2026-01-01T00:00:00Z{number}{LONG}")
    assert not FORMATS["uri"](f" {number}{LONG}")


def _tokens(number: int) -> None:
    for token in (f"{number}{LONG}", TOKEN + LONG, f"{TOKEN}={number}", f"{TOKEN} {number}{LONG}"):
        with pytest.raises(Unauthorized):
            ACCESS.claims(token, 1e9)


ACCESS = Access(KEYS, 60)
TOKEN = issue(KEYS, "somebody", (), 1e9, 15)


@pytest.mark.parametrize("write", [_dates, _tokens])
def test_long_texts_leave_nothing_behind(write: Callable[[int], None]) -> None:
    """300 of a hundred kilobytes each: less than a megabyte stays."""
    write(0)
    tracemalloc.start()
    try:
        for number in range(1, 301):
            write(number)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
