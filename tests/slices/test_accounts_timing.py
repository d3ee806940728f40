"""
Nobody learns from the clock whether a name exists: sign-ins are measured.

In processor time of this process, client and host in one: what the machine does besides is not in
it.
"""

import statistics
import time

from tests.support.accounts import OTHER_PASSWORD, post, sign_up
from tests.support.running_host import RunningHost
from worker.accounts import store

_ROUNDS = 9
_TRIES = 4
# name of the case -> (username, password)
_CASES = {
    "known name": ("alice", OTHER_PASSWORD),
    "unknown name": ("nobody_here", OTHER_PASSWORD),
    "malformed name": ("no such name!", OTHER_PASSWORD),
    "disabled account": ("closed", OTHER_PASSWORD),
    "password that cannot be": ("alice", "x" * 1025),
}


async def _medians(host: RunningHost) -> dict[str, float]:
    """Return milliseconds by case; the cases take turns, so that noise falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in _CASES}
    for _ in range(_ROUNDS):
        for name, (username, password) in _CASES.items():
            began = time.process_time()
            answer = await post(host, "/v1/sessions", username=username, password=password)
            found[name].append((time.process_time() - began) * 1000)
            assert answer.status == 401
    return {name: statistics.median(times) for name, times in found.items()}


async def test_a_refusal_takes_the_same_time_whoever_is_named(host: RunningHost) -> None:
    """Medians within a fourth of that of a known name; a skipped hash would be a tenth of it."""
    await sign_up(host, "alice")
    await sign_up(host, "closed")
    closed = await store.find(host.env, "closed")
    assert closed is not None
    await store.disable(host.env, closed.account_id)
    table = {}
    # Neighbours take a cache away and bend one measurement, hardly four.
    for _ in range(_TRIES):
        table = await _medians(host)
        known = table["known name"]
        if all(0.8 <= median / known <= 1.25 for median in table.values()):
            break
    for name, median in table.items():
        print(f"{name:24} {median:6.1f} ms  {median / table['known name']:.2f}")
    assert all(0.8 <= median / table["known name"] <= 1.25 for median in table.values()), table
