"""
Rate limits: who may do how much, and how long to wait otherwise. The rows: `worker/limits.py`.

Pure steps (state and time in, wait and state out) under an in-process store. A bucket is one
number, the moment at which it will be full again (GCRA: ITU-T I.371, also RFC 2697's meter turned
round); a slow-down is how many failures are remembered, and since when.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address
from typing import NamedTuple, Protocol

from worker.errors import RateLimited
from worker.limits import RateLimit, SlowDown
from worker.settings import Settings

# How many addresses and accounts one process remembers for each row that is not exact; the longest
# unused leave.
RATE_KEYS = 50_000

_LOOPBACK = frozenset({"127.0.0.1", "::1", ""})


class Attempt(NamedTuple):
    """The verdict on a sign-in: *wait* seconds (0: go on), *failures* remembered with this one."""

    wait: float
    failures: float


class Failures(NamedTuple):
    """What a slow-down remembers: how many at the time of the last, and the last good sign-in."""

    number: float = 0
    last: float = 0
    good_at: float = 0


class Try(NamedTuple):
    """Where a try to sign in counts."""

    row: SlowDown
    key: str


class Counting(Protocol):
    """Counts what need not be exact."""

    async def take(self, row: RateLimit, key: str) -> float:
        """Take one from the bucket of *key*; return 0, or the seconds until there is one."""


class Limiter(Counting, Protocol):
    """Counts for one deployment (`exact` rows and sign-ins), one process or one location."""

    async def trusts(self, one: Try) -> bool:
        """Whether a sign-in there went well within the time that the row says."""

    async def attempt(self, tries: Sequence[Try]) -> list[Attempt]:
        """
        Count a try that is to be made now as failed, in all of *tries* or in none.

        The verdicts end with the first that has to wait; then none of it counts.
        """

    async def undo(self, tries: Sequence[Try], good: bool) -> None:
        """Take a counted try back; *good*: rows that trust forget those before it and trust."""


def counter_id(row: RateLimit | SlowDown, key: str) -> str:
    """Return what a counter is kept under: neither addresses nor names of people show in it."""
    return hashlib.sha256(f"{row.name}\0{key}".encode()).hexdigest()


def step_bucket(row: RateLimit, full_at: float, now: float, cost: float = 1) -> tuple[float, float]:
    """Return (seconds to wait or 0, new moment of fullness) for *cost* more at *now*."""
    interval = cost / row.per_second
    span = row.burst / row.per_second
    # A moment beyond the span comes from a clock that was set back.
    full_at = now + interval if full_at < now else min(full_at, now + span) + interval
    wait = full_at - span - now
    # Sums of fractions: a wait of less than a microsecond is none.
    return (0.0, full_at) if wait < 1e-6 else (wait, full_at - interval)


def trusted(row: SlowDown, kept: Failures, now: float) -> bool:
    """Whether the last good sign-in still counts."""
    return now - kept.good_at < row.trust_seconds


def step_attempt(row: SlowDown, kept: Failures, now: float) -> tuple[Attempt, Failures]:
    """Return the verdict on one more try at *now*, and what to remember after it."""
    passed = max(0.0, now - kept.last)
    wait = _pause_after(row, kept.number) - passed
    if wait > 0:
        return Attempt(wait, kept.number), kept
    number = max(0.0, kept.number - passed / row.forget_seconds) + 1
    return Attempt(0.0, number), Failures(number, now, kept.good_at)


def step_undo(row: SlowDown, kept: Failures, now: float, good: bool) -> Failures:
    """Return what is remembered when a counted try is taken back."""
    if good and row.trust_seconds:
        return Failures(0, kept.last, now)
    return kept._replace(number=max(0.0, kept.number - 1))


def kept_until(row: SlowDown, kept: Failures) -> float:
    """Return the moment from which *kept* says nothing more."""
    until = kept.last + kept.number * row.forget_seconds + row.longest_wait if kept.number else 0.0
    return max(until, kept.good_at + row.trust_seconds)


def _pause_after(row: SlowDown, failures: float) -> float:
    over = failures - row.free
    # Failures fade by fractions; half a one is still one.
    if over <= -0.5:
        return 0.0
    # Beyond 2^30 seconds no wait is longer.
    return float(min(row.longest_wait, row.first_wait * 2.0 ** min(max(over, 0), 30)))


class ProcessLimiter:
    """`Counting` in this process: at most `RATE_KEYS` keys a row, the longest unused leave."""

    __slots__ = ("_buckets", "_keys", "_now")

    def __init__(self, now: Callable[[], float], keys: int = RATE_KEYS) -> None:
        self._now = now
        self._keys = keys
        self._buckets: dict[str, dict[str, float]] = {}

    async def take(self, row: RateLimit, key: str) -> float:
        """See `Counting.take`."""
        buckets = self._buckets.get(row.name)
        if buckets is None:
            buckets = self._buckets[row.name] = {}
        # Taken out and put back at the end: the order of the dict is the order of use.
        wait, full_at = step_bucket(row, buckets.pop(key, 0.0), self._now())
        buckets[key] = full_at
        if len(buckets) > self._keys:
            del buckets[next(iter(buckets))]
        return wait


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
    parsed = _ipv6(address)
    if parsed is None:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()


def network_key(address: str) -> str:
    """Return the /48 of an IPv6 address, which some customers have; "" for all else."""
    parsed = _ipv6(address)
    return parsed.packed[:6].hex() if parsed is not None and parsed.ipv4_mapped is None else ""


def _ipv6(address: str) -> IPv6Address | None:
    if ":" not in address:
        return None
    try:
        return IPv6Address(address.partition("%")[0])
    except ValueError:
        return None


def refused(wait: float, row: RateLimit | SlowDown) -> RateLimited:
    """Return the refusal that asks for *wait* seconds (draft-ietf-httpapi-ratelimit-headers)."""
    seconds = max(1, math.ceil(wait))
    headers = {"Retry-After": str(seconds)}
    if isinstance(row, RateLimit):
        window = math.ceil(row.burst / row.per_second)
        headers["RateLimit-Policy"] = f'"{row.name}";q={row.burst};w={window}'
        headers["RateLimit"] = f'"{row.name}";r=0;t={seconds}'
    return RateLimited("Wait as long as Retry-After says, then go on.", headers=headers)
