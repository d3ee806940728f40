"""
Rate limits: who may do how much, and how long to wait otherwise. The rows: `worker/limits.py`.

Pure steps (state and time in, wait and state out) under an in-process store. A bucket is one
number, the moment at which it will be full again (GCRA: ITU-T I.371, also RFC 2697's meter turned
round); a slow-down is how many failures are remembered, and since when.
"""

import math
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple, Protocol

from worker.errors import RateLimited
from worker.limits import SIGN_IN_TRUST_SECONDS, RateLimit, SlowDown
from worker.settings import Settings

# How many addresses and accounts one process remembers for each row; the longest unused leave.
RATE_KEYS = 50_000

_LOOPBACK = frozenset({"127.0.0.1", "::1", ""})


class Attempt(NamedTuple):
    """
    The verdict on a sign-in: *wait* seconds (0: go on), *failures* remembered with this one.

    *trusted*: the last sign-in under this key that ended was a good one.
    """

    wait: float
    failures: float
    trusted: bool


class Failures(NamedTuple):
    """What a slow-down remembers: how many at the time of the last, and the last good sign-in."""

    number: float = 0
    last: float = 0
    good_at: float = 0


class Limiter(Protocol):
    """Counts for one deployment (`exact` rows), one process or one location."""

    async def take(self, row: RateLimit, key: str) -> float:
        """Take one from the bucket of *key*; return 0, or the seconds until there is one."""

    async def attempt(self, row: SlowDown, key: str) -> Attempt:
        """Count a try that is to be made now as failed; a refused one does not count."""

    async def undo(self, row: SlowDown, key: str, good: bool) -> None:
        """Take a counted try back; *good*: it was a good sign-in, so forget those before it too."""


def step_bucket(row: RateLimit, full_at: float, now: float, cost: float = 1) -> tuple[float, float]:
    """Return (seconds to wait or 0, new moment of fullness) for *cost* more at *now*."""
    interval = cost / row.per_second
    span = row.burst / row.per_second
    # A moment beyond the span comes from a clock that was set back.
    full_at = now + interval if full_at < now else min(full_at, now + span) + interval
    wait = full_at - span - now
    # Sums of fractions: a wait of less than a microsecond is none.
    return (0.0, full_at) if wait < 1e-6 else (wait, full_at - interval)


def step_attempt(row: SlowDown, kept: Failures, now: float) -> tuple[Attempt, Failures]:
    """Return the verdict on one more try at *now*, and what to remember after it."""
    passed = max(0.0, now - kept.last)
    trusted = now - kept.good_at < SIGN_IN_TRUST_SECONDS
    wait = _pause_after(row, kept.number) - passed
    if wait > 0:
        return Attempt(wait, kept.number, trusted), kept
    number = max(0.0, kept.number - passed / row.forget_seconds) + 1
    return Attempt(0.0, number, trusted), Failures(number, now, kept.good_at)


def step_undo(kept: Failures, now: float, good: bool) -> Failures:
    """Return what is remembered when a counted try is taken back."""
    if good:
        return Failures(0, kept.last, now)
    return kept._replace(number=max(0.0, kept.number - 1))


def _pause_after(row: SlowDown, failures: float) -> float:
    over = failures - row.free
    # Failures fade by fractions; half a one is still one.
    if over <= -0.5:
        return 0.0
    # Beyond 2^30 seconds no wait is longer.
    return float(min(row.longest_wait, row.first_wait * 2.0 ** min(max(over, 0), 30)))


class ProcessLimiter:
    """A `Limiter` in this process: at most `RATE_KEYS` keys a row, the longest unused leave."""

    __slots__ = ("_buckets", "_failures", "_keys", "_now")

    def __init__(self, now: Callable[[], float], keys: int = RATE_KEYS) -> None:
        self._now = now
        self._keys = keys
        self._buckets: dict[str, dict[str, float]] = {}
        self._failures: dict[str, dict[str, Failures]] = {}

    async def take(self, row: RateLimit, key: str) -> float:
        """See `Limiter.take`."""
        buckets = self._buckets.get(row.name)
        if buckets is None:
            buckets = self._buckets[row.name] = {}
        # Taken out and put back at the end: the order of the dict is the order of use.
        wait, full_at = step_bucket(row, buckets.pop(key, 0.0), self._now())
        buckets[key] = full_at
        if len(buckets) > self._keys:
            del buckets[next(iter(buckets))]
        return wait

    async def attempt(self, row: SlowDown, key: str) -> Attempt:
        """See `Limiter.attempt`."""
        kept = self._failures.setdefault(row.name, {})
        verdict, remembered = step_attempt(row, kept.pop(key, Failures()), self._now())
        kept[key] = remembered
        if len(kept) > self._keys:
            del kept[next(iter(kept))]
        return verdict

    async def undo(self, row: SlowDown, key: str, good: bool) -> None:
        """See `Limiter.undo`."""
        kept = self._failures.setdefault(row.name, {})
        if good or key in kept:
            kept[key] = step_undo(kept.pop(key, Failures()), self._now(), good)


def spared(settings: Settings, address: str) -> bool:
    """Whether nothing is counted for *address*: by the setting RATE_LIMITS."""
    mode = settings.rate_limits
    return mode == "off" or (
        mode == "auto"
        and not settings.production
        and (address in _LOOPBACK or address.startswith("127."))
    )


def address_key(address: str) -> str:
    """
    Return what *address* is counted under: of IPv6 the /64, which is what one customer has.

    IPv4 in IPv6 counts as IPv4; what is no address stands for itself.
    """
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()


def refused(wait: float, row: RateLimit | SlowDown) -> RateLimited:
    """Return the refusal that asks for *wait* seconds (draft-ietf-httpapi-ratelimit-headers)."""
    seconds = max(1, math.ceil(wait))
    headers = {"Retry-After": str(seconds)}
    if isinstance(row, RateLimit):
        window = math.ceil(row.burst / row.per_second)
        headers["RateLimit-Policy"] = f'"{row.name}";q={row.burst};w={window}'
        headers["RateLimit"] = f'"{row.name}";r=0;t={seconds}'
    return RateLimited("Wait as long as Retry-After says, then go on.", headers=headers)
