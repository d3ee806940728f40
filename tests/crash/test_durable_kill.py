"""kill -9 while a thousand objects are written: every acknowledged write is found again."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from durable.embedded import Actors
from tests.crash.durable_writer import Ledger

OBJECTS = 1000
FAST = Path("/dev/shm")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory without disk waits: the death of a process does not depend on fsync."""
    if not FAST.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=FAST) as made:
        yield Path(made)


def acknowledged(directory: Path, calls: int) -> dict[str, int]:
    """Run the writer, kill it after so many acknowledged *calls*, return the last per object."""
    command = [sys.executable, "-m", "tests.crash.durable_writer", str(directory), str(OBJECTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        seen = b""
        while seen.count(b"\n") < calls:
            piece = os.read(child.stdout.fileno(), 65536)
            assert piece, "the writer ended by itself"
            seen += piece
        child.send_signal(signal.SIGKILL)
        seen += child.stdout.read()
    last: dict[str, int] = {}
    for line in seen.decode().splitlines():
        name, number = line.split()
        last[name] = int(number)
    return last


async def test_every_acknowledged_write_survives_kill_9(directory: Path) -> None:
    """Twice in a row: nothing acknowledged is lost, nothing is half there, alarms are known."""
    for calls in (OBJECTS + 500, OBJECTS + 17):
        told = await asyncio.to_thread(acknowledged, directory, calls)
        assert len(told) == OBJECTS

        actors = await Actors.open(directory, clock=time.time, random_bytes=os.urandom)
        try:
            ledgers = actors.bind("Ledger", Ledger, None)
            await actors.start()
            for name, number in told.items():
                stub = ledgers.get_by_name(name)
                value, twin, rows, alarm, found_name = await stub.call("found")
                assert value >= number
                assert (twin, rows, found_name) == (value, value, name)
                assert alarm == 4_000_000_000_000
                assert actors.alarms.due("Ledger", stub.id.hex) == alarm
        finally:
            await actors.close()
