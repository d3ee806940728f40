"""Where the Durable Objects tests live: a runtime per adapter, a clock to turn, a fault switch."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from durable.contract import DurableObject, ObjectId, ObjectNamespace, ObjectStub
from durable.embedded import MAX_OPEN_FILES, Actors
from durable.timing import Timing

START = 1_800_000_000.0
"""Epoch seconds at which each test begins."""


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    @property
    def ms(self) -> int:
        """Epoch milliseconds."""
        return int(self.now * 1000)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.now += seconds


def counted_bytes() -> Callable[[int], bytes]:
    """Return a source of bytes that differ at each call and are the same in each run."""
    counter = itertools.count(1)
    return lambda size: next(counter).to_bytes(size, "big")


@dataclass
class World:
    """One local runtime that a test can restart."""

    directory: Path
    adapter: str = "embedded"
    clock: Clock = field(default_factory=Clock)
    random_bytes: Callable[[int], bytes] = field(default_factory=counted_bytes)
    logged: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failing_commits: int = 0
    commits: int = 0
    timing: Timing = field(default_factory=Timing)
    max_open_files: int = MAX_OPEN_FILES
    bound: dict[str, tuple[type[DurableObject], Any]] = field(default_factory=dict)
    actors: Actors = None  # type: ignore[assignment]  # open() sets it

    async def open(self) -> None:
        """Start the runtime and bind what was bound before."""
        self.actors = await Actors.open(
            self.directory,
            clock=self.clock,
            random_bytes=self.random_bytes,
            log=lambda event, fields: self.logged.append((event, fields)),
            timing=self.timing,
            max_open_files=self.max_open_files,
            before_commit=self._before_commit,
        )
        self.spaces = {
            name: self.actors.bind(name, factory, env)
            for name, (factory, env) in self.bound.items()
        }
        await self.actors.start()

    async def restart(self) -> None:
        """Stop gracefully and start again on the same files."""
        await self.actors.close()
        await self.open()

    def bind(self, factory: type[DurableObject], env: Any = None) -> ObjectNamespace:
        """Bind a class under its own name."""
        self.bound[factory.__name__] = (factory, env)
        self.spaces[factory.__name__] = self.actors.bind(factory.__name__, factory, env)
        return self.spaces[factory.__name__]

    def stub(self, factory: type[DurableObject], name: str = "main") -> ObjectStub:
        """A fresh stub of the object *name*, binding the class when it is new."""
        if factory.__name__ not in self.spaces:
            self.bind(factory)
        return self.spaces[factory.__name__].get_by_name(name)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass and everything happen that is due by then."""
        self.clock.advance(seconds)
        await self.actors.tick()
        await self.settle()

    async def settle(self) -> None:
        """Let everything run that does not wait for time."""
        for _ in range(200):
            await asyncio.sleep(0)
            if not self.actors.alarm_clock.ringing and not self.actors.running():
                return

    async def hibernate(self) -> None:
        """Let the idle time pass."""
        await self.pass_time(self.timing.idle_seconds + 1)

    def _before_commit(self, _class: str, _id: ObjectId) -> None:
        self.commits += 1
        if self.failing_commits:
            self.failing_commits -= 1
            raise OSError("disk full")


@pytest.fixture(params=["embedded"])
async def made_world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """One runtime per adapter, today one; a test module names it `world`."""
    assert request.param == "embedded"
    made = World(tmp_path / "durable")
    await made.open()
    yield made
    await made.actors.close()
