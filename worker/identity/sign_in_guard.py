"""
Failed sign-ins slow down the next ones, and many of them are told to the log.

Counted for a name from one address, for a name from everywhere (guessing from many machines) and
for an address with all names (trying stolen passwords); never a lock, so nobody can shut another
out: from where a name signed in well before, only its own failures count. A try counts as failed
from the moment it begins, so tries at the same time cannot slip through together.

    async with guarded(env, request.remote, name):    # raises RateLimited
        ... verify, or raise Unauthorized ...
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import log2

from worker.env import Env
from worker.errors import Problem, Unauthorized
from worker.identity.caller import pseudonym
from worker.limiter.counting import address_key, refused, spared
from worker.limits import SIGN_IN_ADDRESS, SIGN_IN_NAME, SIGN_IN_PAIR, SlowDown


@dataclass(frozen=True, slots=True)
class Counted:
    """One row that a try was counted in, with the failures remembered there."""

    row: SlowDown
    key: str
    failures: float


Attempted = tuple[Counted, ...]


@asynccontextmanager
async def guarded(env: Env, address: str, name: str) -> AsyncIterator[None]:
    """
    Let one sign-in be verified: `Unauthorized` in the block is a failure, its end a success.

    After any other refusal (the door was too busy) it was no try. Raises `RateLimited`.
    """
    attempted = await check(env, address, name)
    try:
        yield
    except Unauthorized:
        await failed(env, attempted)
        raise
    except Problem:
        await _take_back(env, list(attempted))
        raise
    await succeeded(env, attempted)


async def check(env: Env, address: str, name: str) -> Attempted:
    """
    Count a sign-in with *name* from *address* that is about to be verified.

    *name* is whatever says who somebody claims to be, spelt one way. Raises `RateLimited`.
    """
    if spared(env.settings, address):
        return ()
    # Keys are pseudonyms: they show in the log, and at the edge they leave this process.
    place = pseudonym(env, f"address\0{address_key(address)}")
    person = pseudonym(env, f"sign-in\0{name}")
    counted: list[Counted] = []
    trusted = False
    for row, key in (
        (SIGN_IN_PAIR, f"{person}.{place}"),
        (SIGN_IN_NAME, person),
        (SIGN_IN_ADDRESS, place),
    ):
        if row is SIGN_IN_NAME and trusted:
            continue
        verdict = await env.limiter.attempt(row, key)
        if verdict.wait > 0:
            await _take_back(env, counted)
            raise refused(verdict.wait, row)
        counted.append(Counted(row, key, verdict.failures))
        trusted = trusted or verdict.trusted
    return tuple(counted)


async def failed(env: Env, attempted: Attempted) -> None:
    """Leave the try counted; raise an event when it was one too many, and at each doubling."""
    for one in attempted:
        if _doubling(one.row, one.failures) > _doubling(one.row, one.failures - 1):
            env.log.event(
                "warning",
                "sign_in_failures",
                counted_by=one.row.name,
                who=one.key,
                failures=int(one.failures),
            )


async def succeeded(env: Env, attempted: Attempted) -> None:
    """Forget the failures of this name from this address; the others keep all but this try."""
    await _take_back(env, list(attempted), good=True)


async def _take_back(env: Env, counted: list[Counted], *, good: bool = False) -> None:
    for one in counted:
        await env.limiter.undo(one.row, one.key, good and one.row is SIGN_IN_PAIR)


def _doubling(row: SlowDown, failures: float) -> int:
    """Return 0 below the free tries, then 1, and one more with each doubling."""
    return 0 if failures < row.free else 1 + int(log2(failures / row.free))
