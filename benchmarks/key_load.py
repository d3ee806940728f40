"""The load of `key_fetch`, a process of its own: prints one JSON object.

python -m benchmarks.key_load --port P --rate 500 --seconds S

Some people publish keys; somebody fetches their bundles at a steady rate, whether or not earlier
answers have come, while the owners top up what is taken. A time counts from when the fetch was due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, TCPConnector

from clients.python.relay.home import State

OWNERS = 10
BATCH = 100
PASSWORD = "tangerine velocity 9"
KYBER_BYTES = 1568


class LoadError(RuntimeError):
    """An answer was not what it should be."""


@dataclass
class Owner:
    """Somebody whose keys are fetched."""

    name: str
    bearer: dict[str, str]
    next_id: int = 1

    def batch(self) -> list[dict[str, Any]]:
        """Return one-time prekeys; random bytes are as good as keys to the server."""
        ids = range(self.next_id, self.next_id + BATCH)
        self.next_id += BATCH
        return [{"id": one, "key": _key(b"\x05" + os.urandom(31) + b"\x1f")} for one in ids]


@dataclass
class Times:
    """Milliseconds of every fetch, and how many owners topped up."""

    fetches: list[float] = field(default_factory=list)
    top_ups: list[float] = field(default_factory=list)


def _key(data: bytes) -> str:
    return b64encode(data).decode()


async def _sign_up(session: ClientSession, name: str) -> Owner:
    """Register somebody with keys for PQXDH."""
    state = State("", name)
    upload = state.begin()
    kyber = b"\x08" + os.urandom(KYBER_BYTES)
    upload["last_resort_kyber_pre_key"] = {
        "id": 1,
        "key": _key(kyber),
        "signature": _key(state.identity.sign(kyber)),
    }
    owner = Owner(name, {})
    upload |= {"one_time_pre_keys": owner.batch(), "username": name, "password": PASSWORD}
    async with session.post("/auth/register", json=upload) as answer:
        if answer.status != 200:
            raise LoadError(await answer.text())
        owner.bearer = {"Authorization": f"Bearer {(await answer.json())['token']}"}
    return owner


async def _fetch(
    session: ClientSession, reader: Owner, owner: Owner, due: float, to: Times
) -> None:
    async with session.get(f"/v1/keys/{owner.name}", headers=reader.bearer) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise LoadError(f"{answer.status}: {body[:200]!r}")
    to.fetches.append((time.perf_counter() - due) * 1000)


async def _top_up(session: ClientSession, owner: Owner, to: Times) -> None:
    began = time.perf_counter()
    body = {"one_time_pre_keys": owner.batch()}
    async with session.post("/v1/keys/one-time", json=body, headers=owner.bearer) as answer:
        if answer.status != 200:
            raise LoadError(await answer.text())
    to.top_ups.append((time.perf_counter() - began) * 1000)


async def _steady(
    session: ClientSession, owners: list[Owner], reader: Owner, rate: int, seconds: float
) -> Times:
    times = Times()
    async with asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(_fetch(session, reader, owners[number % OWNERS], due, times))
            if number % BATCH == 0:
                owner = owners[number // BATCH % OWNERS]
                group.create_task(_top_up(session, owner, times))
    return times


async def _run(port: int, rate: int, seconds: float, warm_up: float) -> dict[str, float]:
    stem = f"k{time.time_ns() % 10**10}"
    connector = TCPConnector(limit=64)
    async with ClientSession(f"http://127.0.0.1:{port}", connector=connector) as session:
        owners = [await _sign_up(session, f"{stem}_{number}") for number in range(OWNERS)]
        reader = await _sign_up(session, f"{stem}_reader")
        for owner in owners:
            await _top_up(session, owner, Times())
        await _steady(session, owners, reader, rate, warm_up)
        times = await _steady(session, owners, reader, rate, seconds)
    ordered = sorted(times.fetches)
    return {
        "count": len(ordered),
        "p50": ordered[len(ordered) // 2],
        "p95": ordered[len(ordered) * 95 // 100],
        "p99": ordered[len(ordered) * 99 // 100],
        "top_ups": len(times.top_ups),
        "top_up_p50": sorted(times.top_ups)[len(times.top_ups) // 2],
    }


def main() -> None:
    """Command line: see the module text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=1)
    options = parser.parse_args()
    found = asyncio.run(_run(options.port, options.rate, options.seconds, options.warm_up))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
