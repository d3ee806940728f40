"""One upload of profiles: the source, the streaming request, live progress beside it."""

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from scripts.cli.outcome import CliError, tell
from scripts.cli.progress import Progress
from scripts.cli.server import Target

if TYPE_CHECKING:
    from aiohttp import ClientSession

_BLOCK = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
# While another import holds the same key the server says 409 and when to ask again.
_TRIES = 5
_LONGEST_PAUSE = 10.0
_NDJSON = "application/x-ndjson"


class Source:
    """The bytes to send. *size* is None for a stream that cannot be measured or read twice."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = file
        self.name = name
        about = os.fstat(file.fileno())
        self.size = about.st_size if stat.S_ISREG(about.st_mode) else None
        self._start = file.tell() if self.size is not None else 0
        if self.size is not None:
            self.size -= self._start

    def digest(self) -> str:
        """Return the SHA-256 of the content as hex; raises `CliError` for a stream."""
        if self.size is None:
            raise CliError("--key auto and --checksum need a file: a stream cannot be read twice.")
        self._rewind()
        digest = hashlib.sha256()
        while block := self.file.read(_BLOCK):
            digest.update(block)
        return digest.hexdigest()

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the content from its beginning."""
        if self.size is None:
            async for block in self._stream():
                yield block
            return
        self._rewind()
        left = self.size
        while left and (block := self.file.read(min(_BLOCK, left))):
            left -= len(block)
            yield block
        if left:
            raise CliError(f"{self.name} became shorter while it was read.")

    async def _stream(self) -> AsyncIterator[bytes]:
        # A pipe is read through the loop, so that Ctrl-C is not stuck behind a silent writer.
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_BLOCK)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self.file)
        while block := await reader.read(_BLOCK):
            yield block

    def _rewind(self) -> None:
        self.file.seek(self._start)


@contextlib.contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Open the file *name*, or stdin for "-"; raises `CliError`."""
    if name == "-":
        yield Source(os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0), "stdin")
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise CliError(f"{name} cannot be read: {error.strerror}.") from None
        yield Source(file, name)


class Upload:
    """POST /api/profiles/import with an id of our own, watched over its progress socket."""

    def __init__(self, target: Target, source: Source, mode: str, headers: dict[str, str]) -> None:
        self._target = target
        self._source = source
        self._mode = mode
        self._headers = headers
        self._progress: Progress | None = None
        self.import_id = ""
        self.sent = 0

    async def run(self) -> tuple[int, dict[str, Any]]:
        """Send everything; return the status and the answer. Raises `CliError`."""
        with Progress(self._source.name, self._source.size) as progress:
            self._progress = progress
            async with self._target.session() as session:
                for attempt in range(_TRIES):
                    status, answer, pause = await self._attempt(session)
                    again = answer.get("error") == "idempotency_key_in_use"
                    if not again or self._source.size is None or attempt == _TRIES - 1:
                        break
                    tell(f"The same import is still running; trying again in {pause:g} s.")
                    await asyncio.sleep(pause)
        return status, answer

    async def report(self) -> dict[str, Any] | None:
        """Return what the server says of this import after it broke off, or None."""
        with contextlib.suppress(CliError):
            async with self._target.session(sock_read=5) as session:
                for _ in range(20):
                    report = await self._ask_report(session)
                    if report is None or report["state"] not in ("running", "committing"):
                        return report
                    # The server notices a cut connection a moment after us.
                    await asyncio.sleep(0.1)
                return report
        return None

    async def _ask_report(self, session: "ClientSession") -> dict[str, Any] | None:
        query = {"id": self.import_id}
        async with session.get("api/profiles/import/report", params=query) as answer:
            return await answer.json(content_type=None) if answer.status == 200 else None

    async def _attempt(self, session: "ClientSession") -> tuple[int, dict[str, Any], float]:
        now = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        self.import_id = f"imp_{now}_{secrets.token_hex(8)}"
        self.sent = 0
        watch = asyncio.create_task(self._watch(session))
        try:
            return await self._post(session)
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _post(self, session: "ClientSession") -> tuple[int, dict[str, Any], float]:
        blocks = self._source.blocks()
        first = await anext(blocks, b"")
        gzip = first.startswith(_GZIP_MAGIC)
        headers = {**self._headers, "Content-Type": "application/gzip" if gzip else _NDJSON}
        if self._source.size is not None:
            headers["Content-Length"] = str(self._source.size)
        query = {"id": self.import_id, "mode": self._mode}
        async with session.post(
            "api/profiles/import", params=query, data=self._body(first, blocks), headers=headers
        ) as response:
            pause = response.headers.get("Retry-After", "1")
            try:
                answer = await response.json(content_type=None)
            except ValueError:
                answer = {"title": response.reason or "no reason given"}
            if response.headers.get("Idempotent-Replayed"):
                answer["replayed"] = True
        seconds = float(pause) if pause.isdecimal() else 1.0
        return response.status, answer, min(seconds, _LONGEST_PAUSE)

    async def _body(self, first: bytes, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        block = first
        while block:
            yield block
            self.sent += len(block)
            if self._progress is not None:
                self._progress.sent(self.sent)
            block = await anext(blocks, b"")

    async def _watch(self, session: "ClientSession") -> None:
        """Feed the progress from the socket; without one the bar shows the bytes alone."""
        import aiohttp

        query = {"id": self.import_id}
        with contextlib.suppress(aiohttp.ClientError, ValueError, KeyError):
            async with session.ws_connect("api/profiles/import/progress", params=query) as socket:
                async for message in socket:
                    told = json.loads(message.data)
                    if self._progress is not None and "profiles_stored" in told:
                        self._progress.counted(told["profiles_stored"], told["lines_invalid"])
