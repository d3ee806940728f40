"""How long and how often to measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Seconds of one run and of its warm-up, rounds, and the sizes of the larger tasks."""

    seconds: float = 4
    warm_up: float = 2
    rounds: int = 3
    import_rows: int = 60_000
    memory_bytes: int = 500_000_000
    startup_tries: int = 9


QUICK = Plan(
    seconds=1, warm_up=1, rounds=1, import_rows=10_000, memory_bytes=50_000_000, startup_tries=3
)
"""For a look while working: too short to be quoted."""
