"""
One pass over the body of an import: bytes -> lines -> judged rows -> batches for a sink.

The body may be larger than memory: what is held is one chunk, one line and two batches.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable

from worker.env import Env
from worker.errors import PayloadTooLarge
from worker.limits import KIB
from worker.profiles.errors import ChecksumMismatch
from worker.profiles.judge import Judge
from worker.profiles.report import ERRORS_IN_REPORT, Plan, Tally
from worker.profiles.store import Row
from worker.wire.inflate import Gunzip
from worker.wire.ndjson import LineReader

# The prototype's line limit, in bytes without the line end.
IMPORT_LINE_BYTES = 128 * KIB

# A batch ends at either bound. 500 rows of 1 KB stay far below D1's 2 MB parameter.
BATCH_ROWS = 500
BATCH_CHARS = 1_000_000
# Refused lines between two turns of the loop: explaining one may take milliseconds.
_TURN_LINES = 20

Sink = Callable[[list[Row]], Awaitable[None]]


class ImportRun:
    """
    The work of one import request.

    *sink* stores a batch; it runs while the next lines are judged, never two at a time and in
    order, so that the last line of an id wins. *tick* is called after each chunk.
    """

    def __init__(
        self, env: Env, plan: Plan, sink: Sink, tick: Callable[[], Awaitable[None]]
    ) -> None:
        self.plan = plan
        self.tally = Tally()
        self._sink = sink
        self._tick = tick
        self._settings = env.settings
        self._judge = Judge(env).judge
        self._lines = LineReader(IMPORT_LINE_BYTES)
        self._gunzip = Gunzip(env.settings.import_max_decoded_bytes) if plan.gzip else None
        # Nobody asks for the digest of a body without checksum and key.
        self._is_hashed = plan.checksum_sha256 is not None or plan.box is not None
        self._digest = hashlib.sha256()
        self._batch: list[Row] = []
        self._batch_chars = 0
        self._storing: asyncio.Future[None] | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of the body as it arrived, if a checksum or key asks for it."""
        return self._digest.hexdigest()

    async def consume(self, chunks: AsyncIterable[bytes]) -> None:
        """
        Read the body to its end; the rows are in the sink when this returns.

        Raises `PayloadTooLarge`, `BrokenCompression`, `IncompleteBody`, `ChecksumMismatch`, and
        what the sink raises.
        """
        try:
            async for chunk in chunks:
                self._count(chunk)
                for piece in self._unfold(chunk):
                    await self._take(self._lines.feed(piece))
                    # A chunk of gzip may unfold to many pieces; others want their turn.
                    await asyncio.sleep(0)
                await self._tick()
            if self._gunzip is not None:
                self._gunzip.end()
            await self._take(self._lines.end())
            if self.plan.checksum_sha256 not in (None, self.digest):
                raise ChecksumMismatch("X-Checksum-Sha256 is not the SHA-256 of this body.")
            await self._flush()
        finally:
            await self._settle()

    def _count(self, chunk: bytes) -> None:
        if self._is_hashed:
            self._digest.update(chunk)
        self.tally.bytes_read += len(chunk)
        if self.tally.bytes_read > self._settings.import_max_bytes:
            raise PayloadTooLarge(
                f"An import may have at most {self._settings.import_max_bytes} bytes."
            )

    def _unfold(self, chunk: bytes) -> Iterable[bytes]:
        return (chunk,) if self._gunzip is None else self._gunzip.feed(chunk)

    async def _take(self, lines: list[tuple[int, bytes | None]]) -> None:
        for start in range(0, len(lines), _TURN_LINES):
            refused = self.tally.lines_invalid
            self._judge_all(lines[start : start + _TURN_LINES])
            if len(self._batch) >= BATCH_ROWS or self._batch_chars >= BATCH_CHARS:
                await self._flush()
            elif self.tally.lines_invalid != refused:
                await asyncio.sleep(0)

    def _judge_all(self, lines: list[tuple[int, bytes | None]]) -> None:
        tally, batch, judge = self.tally, self._batch, self._judge
        for line_no, line in lines:
            verdict = judge(line, explain=len(tally.errors) < ERRORS_IN_REPORT)
            if isinstance(verdict, Row):
                batch.append(verdict)
                self._batch_chars += len(verdict.document)
            else:
                tally.refuse(line_no, verdict)
        tally.lines_total += len(lines)
        tally.lines_valid = tally.lines_total - tally.lines_invalid

    async def _flush(self) -> None:
        await self._settle()
        if self._batch:
            batch, self._batch, self._batch_chars = self._batch, [], 0
            self._storing = asyncio.ensure_future(self._sink(batch))
            # One turn, so that the sink is under way before the next lines are judged.
            await asyncio.sleep(0)

    async def _settle(self) -> None:
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing


__all__ = ["BATCH_CHARS", "BATCH_ROWS", "ImportRun", "Sink"]
