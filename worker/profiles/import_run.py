"""
One pass over the body of an import: bytes -> lines -> judged rows -> batches for a sink.

The body may be larger than memory: what is held is one chunk, one line and two batches.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

from d1_schema.schemas import load_schema
from worker.env import Env
from worker.errors import PayloadTooLarge
from worker.limits import KIB
from worker.profiles.errors import ChecksumMismatch
from worker.profiles.mistaken import opens_array, sentence_for
from worker.profiles.model import V1, V2, VERSIONS, keeps_its_text
from worker.profiles.report import ERRORS_IN_REPORT, Plan, Tally
from worker.profiles.store.profiles import Row
from worker.quotas import while_room
from worker.schema_check import Violation
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
        self._env = env
        self._settings = env.settings
        self._judge = Judge(env).judge
        self._lines = LineReader(IMPORT_LINE_BYTES)
        self._gunzip = Gunzip(env.settings.import_max_decoded_bytes) if plan.gzip else None
        # Nobody asks for the digest of a body without checksum and key.
        self._is_hashed = plan.checksum_sha256 is not None or plan.box is not None
        self._digest = hashlib.sha256()
        # The first two lines that are not blank: they tell what a body is that is no NDJSON.
        self._first: list[bytes] = []
        self._batch: list[Row] = []
        self._batch_chars = 0
        self._storing: asyncio.Future[None] | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of the body as it arrived, if a checksum or key asks for it."""
        return self._digest.hexdigest()

    @property
    def seems(self) -> str:
        """What the body seems to be when no line is valid: a sentence, or nothing."""
        if self.tally.lines_valid or not self._first:
            return ""
        return sentence_for(self._first[0], self._first[-1])

    async def consume(self, chunks: AsyncIterable[bytes]) -> None:
        """
        Read the body to its end; the rows are in the sink when this returns.

        Raises `PayloadTooLarge`, `BrokenCompression`, `IncompleteBody`, `ChecksumMismatch`,
        `StorageFull`, and what the sink raises.
        """
        try:
            async for chunk in while_room(self._env, chunks):
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
        if len(self._first) < 2:
            self._first += [line or b"" for _, line in lines[: 2 - len(self._first)]]
        is_array = bool(self._first) and opens_array(self._first[0])
        for line_no, line in lines:
            verdict = judge(line, line_no, explain=len(tally.errors) < ERRORS_IN_REPORT)
            if is_array and isinstance(verdict, Row):
                # The last element has no comma behind it; nobody wants that one alone.
                verdict = _IN_ARRAY
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


_TOO_LONG = [Violation("$", "line_too_large", "the line has more than 131,072 bytes")]
_NOT_UTF8 = [Violation("$", "json_parse_error", "the line is not valid UTF-8")]
_NOT_A_NUMBER = [Violation("$", "json_parse_error", "not valid JSON: a number is not one")]
_TOO_DEEP = [Violation("$", "json_parse_error", "the line is nested too deeply")]
_HALF_PAIR = [
    Violation("$", "json_parse_error", "a \\u escape in the line is half of a surrogate pair")
]
_IN_ARRAY = [Violation("$", "json_parse_error", "the line is part of a JSON array")]
_NUL = [Violation("$", "nul_character", "a text in the line holds the character U+0000")]
_TWICE = [Violation("$", "duplicate_member", "an object in the line has two members of one name")]
_NO_RULE = [Violation("$", "validation", "the line does not conform to the schema")]


def _no_constant(_name: str) -> Any:
    # Python's reader takes NaN and Infinity; JSON (RFC 8259) has no such numbers.
    raise ValueError("NaN and Infinity are not JSON")


def _not_json(what: str, position: int) -> list[Violation]:
    message = f"not valid JSON: {what} at column {position + 1}"
    return [Violation("$", "json_parse_error", message)]


class _TwiceError(Exception):
    """A member name occurs twice in one object."""


def _once(members: list[tuple[str, Any]]) -> None:
    if len(dict(members)) != len(members):
        raise _TwiceError


def _repeats_a_name(text: str) -> bool:
    """Whether readers could differ in what *text* (valid JSON) says: not all keep the last."""
    try:
        json.loads(text, object_pairs_hook=_once)
    except _TwiceError:
        return True
    return False


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_nul, inner))


class Judge:
    """Holds what is slow to make: the JSON reader and writer and the compiled schemas."""

    def __init__(self, env: Env) -> None:
        # Not `decode`, which looks for blanks at both ends: a line has none.
        self._read = json.JSONDecoder(parse_constant=_no_constant).raw_decode
        self._write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
        self._checks = {name: env.tools.schema_check(load_schema(name)) for name in VERSIONS}
        self._v1 = self._checks[V1]

    def judge(
        self, line: bytes | None, line_no: int = 0, *, explain: bool = True
    ) -> Row | list[Violation]:
        """
        Return the row to store, or the violations. None stands for a line that is too long.

        Without *explain* a line that breaks the schema gets one violation that says only so:
        explaining costs fifty times as much as the verdict.
        """
        if line is None:
            return _TOO_LONG
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return _NOT_UTF8
        try:
            document, end = self._read(text)
            if end != len(text):
                return _not_json("extra data", end)
        except json.JSONDecodeError as error:
            # Some of Python's messages end in "at" already: "unterminated string starting at".
            return _not_json(error.msg.lower().removesuffix(" at"), error.pos)
        except ValueError:
            return _NOT_A_NUMBER
        except RecursionError:
            return _TOO_DEEP
        check = self._v1
        if type(document) is dict and document.get("schema_version") == V2:
            check = self._checks[V2]
        if not check.accepts(document):
            return (check.explain(document) if explain else None) or _NO_RULE
        return self._row(text, document, line_no)

    def _row(self, text: str, document: dict[str, Any], line_no: int) -> Row | list[Violation]:
        if "\\u0000" in text and _has_nul(document):
            return _NUL
        if keeps_its_text(text, document):
            return Row(document["profile_id"], text, line_no)
        if _repeats_a_name(text):
            return _TWICE
        text = self._write(document)
        try:
            text.encode()
        except UnicodeEncodeError:
            return _HALF_PAIR
        return Row(document["profile_id"], text, line_no)
