"""
A way to Redis that comes back when it was lost.

While the server is away callers wait for it a short while; once it has been away for that long they
are refused at once, and the lane goes on trying on its own.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from kv.checks import KVError, KVUnavailable
from kv.redis_address import RedisAddress
from kv.redis_errors import RedisStartError, code_of, refusal, start_sentence
from kv.redis_pipe import ANSWER_SECONDS, AnyConnection, CutOff, Pipe, answer_of, hang_up
from kv.redis_records import packed

PATIENCE: Final = 2.0
"""Seconds that callers wait for a server that went away."""
CONNECT_SECONDS: Final = 2.0
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds between two attempts to connect: doubled each time."""


class Lane:
    """
    Asks the server at *address*; *probe* is a command that tells whether we may use it.

    It connects with `start`, or when it is first asked.
    """

    def __init__(self, address: RedisAddress, probe: bytes) -> None:
        self._address = address
        self._probe = probe
        self._loop = asyncio.get_running_loop()
        self._pipe: Pipe | None = None
        self._up = asyncio.Event()
        self._away_since = self._loop.time()
        self._last_used: tuple[bytes, int] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """
        Connect for the first time.

        Raises:
            RedisStartError: the server does not answer within `PATIENCE`, or refuses us.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                connection = await self._connect()
                break
            except (RedisError, OSError, TimeoutError) as error:
                sentence, is_final = start_sentence(self._address.label, error)
                if is_final or self._loop.time() - self._away_since > PATIENCE:
                    raise RedisStartError(sentence) from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._keeper = self._loop.create_task(self._keep(connection))
        await self._up.wait()

    async def ask(
        self,
        operation: str,
        command: Sequence[bytes],
        replies: int = 1,
        *,
        is_read: bool = False,
        weight: int = 0,
    ) -> Any:
        """
        Send *command*; return its answer, or a list when there are several *replies*.

        Reads are repeated over the next connection. What may change something is sent once: Redis
        may have done it, and doing it again could undo what another host wrote since. *weight*
        is how many bytes go or come, when they are many.

        Raises:
            KVUnavailable: no answer, or one that says that Redis cannot do it now.
            KVError: 500, any other refusal, or the lane is closed.
        """
        patient_until = self._loop.time() + PATIENCE
        while True:
            pipe = self._pipe if self._pipe is not None else await self._next_pipe(operation)
            pipe.weight += weight
            try:
                answer = await pipe.send(command, replies)
                if replies > 1:
                    _raise_refused(answer)
                return answer
            except CutOff as cut:
                if (cut.was_sent and not is_read) or self._loop.time() > patient_until:
                    raise KVUnavailable(operation) from None
            except ResponseError as error:
                if code_of(error) == "READONLY":
                    pipe.give_up()  # after a failover the name may lead to the new master
                raise refusal(operation, error) from None
            finally:
                pipe.weight -= weight

    async def _next_pipe(self, operation: str) -> Pipe:
        """Wait for the server, as long as it makes sense."""
        if self._keeper is None and not self._closed:
            self._away_since = self._loop.time()
            self._keeper = self._loop.create_task(self._keep(None))
        left = self._away_since + PATIENCE - self._loop.time()
        if not self._closed and left > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), left)
        if self._closed:
            raise KVError(operation, 500, "The namespace is closed")
        if self._pipe is None:
            raise KVUnavailable(operation)
        return self._pipe

    async def close(self) -> None:
        """Wait for the answers to what was asked, and hang up. May be called twice."""
        self._closed = True
        pipe, self._pipe = self._pipe, None
        self._up.set()
        if pipe is not None:
            await pipe.finish()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self, connection: AnyConnection | None) -> None:
        """Use *connection*, and the next one when it is lost, until the lane is closed."""
        while True:
            if connection is None:
                connection = await self._reconnect()
            pipe = Pipe(connection)
            if not self._closed:
                self._pipe = pipe
                self._up.set()
            try:
                was_silent = await pipe.run()
                self._away_since = self._loop.time() - (ANSWER_SECONDS if was_silent else 0)
            finally:
                self._pipe = None
                if not self._closed:
                    self._up.clear()
                await hang_up(connection)
            connection = None

    async def _reconnect(self) -> AnyConnection:
        pause = FIRST_PAUSE
        while True:
            with contextlib.suppress(RedisError, OSError, TimeoutError, RedisStartError):
                return await self._connect()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self) -> AnyConnection:
        """Open a connection that is ready for work; raises what the client raises."""
        connection = self._address.connection()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                used = await self._fence(connection)
                await answer_of(connection, self._probe)
        except BaseException:
            await hang_up(connection)
            raise
        self._last_used = used
        return connection

    async def _fence(self, connection: AnyConnection) -> tuple[bytes, int] | None:
        """
        End the connection used before on the server's side too; return how to name this one.

        What was sent there and not answered may still wait in the server: a write that was given
        up would come after one that is acknowledged later, and undo it.
        """
        try:
            about = await answer_of(connection, packed(b"INFO", b"server"))
            number = await answer_of(connection, packed(b"CLIENT", b"ID"))
            [run_id] = [line for line in about.splitlines() if line.startswith(b"run_id:")]
            if self._last_used is not None and self._last_used[0] == run_id:
                before = b"%d" % self._last_used[1]
                await answer_of(connection, packed(b"CLIENT", b"KILL", b"ID", before))
        except (ResponseError, ValueError):
            return None  # a narrow ACL or another make of server; all else works without
        if b"redis_mode:cluster" in about:
            raise RedisStartError(f"Redis at {self._address.label} is a cluster, not one server.")
        return run_id, number


def _raise_refused(answers: list[Any]) -> None:
    """Raise the first refusal among the answers to a transaction, or inside its last one."""
    last = answers[-1]
    for answer in [*answers, *last] if isinstance(last, list) else answers:
        if isinstance(answer, ResponseError):
            raise answer
