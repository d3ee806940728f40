"""
One open connection to Redis that many callers share: what they ask in one turn of the loop goes out
together, and the answers are handed out in order.

The redis client's connection talks and parses. Its pool would give every command a connection of
its own for the time, which costs ten times as much (decision 8).
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import ResponseError

ANSWER_SECONDS: Final = 2.0
"""A server that owes answers and gives none for so long is given up."""
BYTES_PER_SECOND: Final = 4 * 1024 * 1024
"""Long values have so much more time for their way."""
_TICK: Final = 0.25

AnyConnection = Connection | UnixDomainSocketConnection


class CutOff(Exception):  # noqa: N818 - an event, not a mistake
    """The connection ended before the answer came; *was_sent*: Redis may have the command."""

    def __init__(self, *, was_sent: bool) -> None:
        super().__init__()
        self.was_sent = was_sent


class _Several:
    """Collects the answers to a command of several parts; refusals are answers among others."""

    __slots__ = ("_answers", "_count", "waiting")

    def __init__(self, count: int, waiting: asyncio.Future[Any]) -> None:
        self._answers: list[Any] = []
        self._count = count
        self.waiting = waiting

    def take(self, answer: Any) -> None:
        self._answers.append(answer)
        if len(self._answers) == self._count and not self.waiting.done():
            self.waiting.set_result(self._answers)


class Pipe:
    """Asks through *connection*, which is open; `run` does the work until it ends."""

    def __init__(self, connection: AnyConnection) -> None:
        self.connection = connection
        self.weight = 0
        """Bytes of the long values that are on their way."""
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()
        self._unsent: list[tuple[Sequence[bytes], int, asyncio.Future[Any]]] = []
        self._pending: deque[asyncio.Future[Any] | _Several] = deque()
        self._given_up: asyncio.Future[None] = self._loop.create_future()
        self._watch: asyncio.TimerHandle | None = None
        self._answers = self._answers_seen = self._silent_ticks = 0

    def send(self, command: Sequence[bytes], replies: int) -> asyncio.Future[Any]:
        """
        Send *command*; the future gets its answer, or a list when there are several *replies*.

        The future may raise `CutOff`, or `redis.exceptions.ResponseError` for one reply.
        """
        waiting: asyncio.Future[Any] = self._loop.create_future()
        self._unsent.append((command, replies, waiting))
        self._more.set()
        if self._watch is None:
            self._watch = self._loop.call_later(_TICK, self._look)
        return waiting

    async def run(self) -> bool:
        """Work until the connection ends or is given up; True when given up for its silence."""
        work = [self._loop.create_task(job()) for job in (self._read, self._write)]
        try:
            await asyncio.wait([*work, self._given_up], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._watch is not None:
                self._watch.cancel()
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            self._cut_off()
        return self._given_up.done()

    def give_up(self) -> None:
        """End the connection, whatever is still asked."""
        if not self._given_up.done():
            self._given_up.set_result(None)

    async def finish(self) -> None:
        """Wait until everything asked so far is answered or cut off."""
        asked = [waiting for _, _, waiting in self._unsent]
        asked += [each.waiting if isinstance(each, _Several) else each for each in self._pending]
        if asked:
            await asyncio.wait(asked)

    async def _read(self) -> None:
        pending = self._pending
        read = self.connection.read_response
        while True:
            answer: Any
            try:
                answer = await read(timeout=math.inf, disconnect_on_error=False)
            except ResponseError as error:
                answer = error
            self._answers += 1
            waiting = pending.popleft()
            if isinstance(waiting, _Several):
                waiting.take(answer)
            elif waiting.done():
                continue
            elif isinstance(answer, ResponseError):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            unsent, self._unsent = self._unsent, []
            pieces: list[bytes] = []
            for command, replies, waiting in unsent:
                if waiting.cancelled():
                    continue
                pieces += command
                if replies == 1:
                    self._pending.append(waiting)
                else:
                    self._pending.extend([_Several(replies, waiting)] * replies)
            if pieces:
                await self.connection.send_packed_command(pieces, check_health=False)

    def _look(self) -> None:
        """Give up when answers are due and none came for too many ticks."""
        # Ticks and not seconds: a loop that stood still has not given the server its time.
        if not (self._pending or self._unsent):
            self._watch = None
            self._silent_ticks = 0
            return
        if self._answers != self._answers_seen:
            self._answers_seen, self._silent_ticks = self._answers, 0
        else:
            self._silent_ticks += 1
        if self._silent_ticks * _TICK < ANSWER_SECONDS + self.weight / BYTES_PER_SECOND:
            self._watch = self._loop.call_later(_TICK, self._look)
        else:
            self.give_up()

    def _cut_off(self) -> None:
        for each in self._pending:
            waiting = each.waiting if isinstance(each, _Several) else each
            if not waiting.done():
                waiting.set_exception(CutOff(was_sent=True))
        for _, _, waiting in self._unsent:
            if not waiting.done():
                waiting.set_exception(CutOff(was_sent=False))
        self._pending.clear()
        self._unsent.clear()


async def answer_of(connection: AnyConnection, command: bytes) -> Any:
    """Ask one command on a connection that is nobody else's yet; raises what the client raises."""
    await connection.send_packed_command(command, check_health=False)
    return await connection.read_response(timeout=math.inf, disconnect_on_error=False)


async def hang_up(connection: AnyConnection) -> None:
    """End *connection* at once; what it has not sent yet must not arrive later."""
    # The client itself would try to send the rest first, for as long as the server sleeps.
    writer = connection._writer  # noqa: SLF001
    if writer is not None:
        writer.transport.abort()
    await connection.disconnect(nowait=True)
    if writer is not None:
        with contextlib.suppress(OSError):
            await writer.wait_closed()
