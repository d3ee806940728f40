"""
Failed sign-ins slow down the next ones, and many of them are told to the log.

Counted for a name from one address, for a name from everywhere (guessing from many machines), and
for an address and its network with all names (trying stolen passwords); never a lock, so nobody can
shut another out. From where a name signed in well before, what others do with it elsewhere does not
count; on a device on which it did, wherever that is, only the failures on that device do. A try
counts as failed from the moment it begins, so tries at the same time cannot slip through together.

    async with guarded(env, request.remote, name, device):    # raises RateLimited
        ... verify, or raise Unauthorized ...
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import log2

from worker.env import Env
from worker.errors import Problem, Unauthorized
from worker.identity.caller import pseudonym
from worker.limiter.counting import Attempt, Try, address_key, network_key, refused, spared
from worker.limits import (
    SIGN_IN_ADDRESS,
    SIGN_IN_DEVICE,
    SIGN_IN_NAME,
    SIGN_IN_NETWORK,
    SIGN_IN_PAIR,
    SlowDown,
)


@dataclass(frozen=True, slots=True)
class Attempted:
    """
    Where a try was counted, with the failures remembered there.

    *places* will be trusted if it is a good one: the address and the device it comes from.
    """

    tries: tuple[Try, ...] = ()
    verdicts: tuple[Attempt, ...] = ()
    places: tuple[Try, ...] = ()


@asynccontextmanager
async def guarded(env: Env, address: str, name: str, device: str = "") -> AsyncIterator[None]:
    """
    Let one sign-in be verified: `Unauthorized` in the block is a failure, its end a success.

    After any other refusal (the door was too busy) it was no try. Raises `RateLimited`.
    """
    attempted = await check(env, address, name, device)
    try:
        yield
    except Unauthorized:
        await failed(env, attempted)
        raise
    except Problem:
        await env.limiter.undo(attempted.tries, good=False)
        raise
    await succeeded(env, attempted)


async def check(env: Env, address: str, name: str, device: str = "") -> Attempted:
    """
    Count a sign-in with *name* from *address* that is about to be verified.

    *name* is whatever says who somebody claims to be, spelt one way; *device* what the client calls
    the device that it is on, or "". Raises `RateLimited`.
    """
    if spared(env.settings, address):
        return Attempted()
    places = _places(env, address, name, device)
    tries = await _tries(env, places, address, name)
    verdicts = await env.limiter.attempt(tries)
    last = len(verdicts) - 1
    if verdicts[last].wait > 0:
        raise refused(verdicts[last].wait, tries[last].row)
    return Attempted(tries, tuple(verdicts), places)


async def failed(env: Env, attempted: Attempted) -> None:
    """Leave the try counted; raise an event when it was one too many, and at each doubling."""
    for one, verdict in zip(attempted.tries, attempted.verdicts, strict=True):
        if _doubling(one.row, verdict.failures) > _doubling(one.row, verdict.failures - 1):
            env.log.event(
                "warning",
                "sign_in_failures",
                counted_by=one.row.name,
                who=one.key,
                failures=int(verdict.failures),
            )


async def succeeded(env: Env, attempted: Attempted) -> None:
    """Trust the places and forget the failures there; the others keep all but this try."""
    await env.limiter.undo(tuple({*attempted.tries, *attempted.places}), good=True)


async def trust(env: Env, address: str, name: str, device: str) -> None:
    """Trust the places from where somebody just signed up."""
    if not spared(env.settings, address):
        await env.limiter.undo(_places(env, address, name, device), good=True)


def _places(env: Env, address: str, name: str, device: str) -> tuple[Try, ...]:
    # Keys are pseudonyms: they show in the log, and at the edge they leave this process.
    person = _person(env, name)
    pair = Try(SIGN_IN_PAIR, f"{person}.{_place(env, address_key(address))}")
    if not device:
        return (pair,)
    named = pseudonym(env, f"device\0{device}")
    return pair, Try(SIGN_IN_DEVICE, f"{person}.{named}")


async def _tries(env: Env, places: tuple[Try, ...], address: str, name: str) -> tuple[Try, ...]:
    """Return where a try is to count."""
    pair, *devices = places
    for known in devices:
        if await env.limiter.trusts(known):
            return (known,)
    tries = [pair]
    if not await env.limiter.trusts(pair):
        tries.append(Try(SIGN_IN_NAME, _person(env, name)))
    tries.append(Try(SIGN_IN_ADDRESS, _place(env, address_key(address))))
    network = network_key(address)
    if network:
        tries.append(Try(SIGN_IN_NETWORK, _place(env, network)))
    return tuple(tries)


def _person(env: Env, name: str) -> str:
    return pseudonym(env, f"sign-in\0{name}")


def _place(env: Env, key: str) -> str:
    return pseudonym(env, f"address\0{key}")


def _doubling(row: SlowDown, failures: float) -> int:
    """Return 0 below the free tries, then 1, and one more with each doubling."""
    return 0 if failures < row.free else 1 + int(log2(failures / row.free))
