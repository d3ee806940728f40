"""The ambient ports of a laptop: clock, dice, sockets, schema checks, background work, log."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from durable.local_socket import LocalSocket, local_pair
from worker.entry import host_mail
from worker.entry.host_mail import HostMail
from worker.entry.native_crypto import NativeCrypto
from worker.entry.native_fetch import NativeExchange
from worker.fetch import BoundedFetch, Fetch
from worker.schema_check import SchemaCheck
from worker.settings import Settings

_ENTRY = Path(__file__).parent
_SHIPPED = (_ENTRY.parent / "api_page" / "files", _ENTRY / "viewer")


class HostTools:
    """Implements `worker.env.Tools`; what is not handed in is the machine's own."""

    crypto: NativeCrypto
    mail: HostMail
    free_bytes: Callable[[], int]

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = os.urandom,
        fetch: Fetch | None = None,
        mail: HostMail | None = None,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._checks: dict[str, SchemaCheck] = {}
        self._tasks: set[asyncio.Future[Any]] = set()
        self.now = now
        self.random_bytes = random_bytes
        # By the machine's own clock: a request takes the time that it takes.
        self.fetch: Fetch = fetch or BoundedFetch(NativeExchange(), time.monotonic)
        self._handed_mail = mail
        self._handed_free_bytes = free_bytes

    def settle(self, settings: Settings, state: Path) -> None:
        """Make what depends on the settings; `open_env` calls it before all else."""
        self.crypto = NativeCrypto(settings, self.random_bytes)
        self.mail = self._handed_mail or host_mail.choose(
            settings, state, self.now, self.random_bytes
        )
        self.free_bytes = self._handed_free_bytes or (lambda: shutil.disk_usage(state).free)

    def socket_pair(self) -> tuple[LocalSocket, LocalSocket]:
        """Return an in-memory WebSocket pair: (client end, server end)."""
        return local_pair()

    def schema_check(self, schema: dict[str, Any]) -> SchemaCheck:
        """Return the checker of *schema*, made once for each `$id`."""
        check = self._checks.get(schema["$id"])
        if check is None:
            from worker.entry.native_schema import NativeCheck

            check = self._checks[schema["$id"]] = NativeCheck(schema)
        return check

    def shipped(self, name: str) -> bytes | None:
        """Return the file *name* of worker/api_page/files/ or of the viewer, or None."""
        paths = (folder / name for folder in _SHIPPED)
        return next((path.read_bytes() for path in paths if path.is_file()), None)

    async def pause(self, seconds: float) -> None:
        """Let *seconds* pass."""
        await asyncio.sleep(seconds)

    def wait_until(self, work: Awaitable[Any]) -> None:
        """Keep *work* going; `finish` waits for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for all background work (a failure there was the work's own to report)."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Wait for all background work, and let go of what it used."""
        await self.finish()
        self.mail.close()


class RequestIds:
    """Ids that are unique over all processes and cheap to make: a random stem and a counter."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._stem = random_bytes(8).hex()
        self._count = 0

    def __call__(self) -> str:
        """Return the next id."""
        self._count += 1
        return f"{self._stem}-{self._count:x}"


def soon(call: Callable[[], None]) -> None:
    """Have *call* called within 50 ms: often enough for a person who watches the log."""
    asyncio.get_running_loop().call_later(0.05, call)


def write_log(text: str) -> None:
    """Write finished lines to stdout; a reader that went away is not our failure."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        pass
