"""
KV on a Redis server, for several hosts at once.

How entries lie there is told in `redis_records`, how we talk to the server in `redis_lane`.
Nothing is remembered between two calls: what one host wrote the next read of any host sees.
Whether an entry has ended is judged by our clock; Redis' own expiry is not used, and ended entries
are swept in small batches while the namespace is written to or listed.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final

from kv.checks import MAX_BULK_BYTES, KVError, decode_cursor, encode_cursor
from kv.contract import KVKey, KVNamespace, KVPage, KVRow, KVStored
from kv.redis_address import RedisAddress
from kv.redis_errors import RedisStartError
from kv.redis_lane import Lane
from kv.redis_records import SWEEP_ROWS, ForeignRecordError, Layout, read_record

__all__ = ["RedisStartError", "open_namespace"]

SWEEP_SECONDS: Final = 60


class RedisNamespace(KVNamespace):
    """A KV namespace on a Redis server."""

    def __init__(self, address: RedisAddress, name: str, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._layout = Layout(address.prefix, name)
        # All writes take one way, so that they arrive in the order of their calls. Reads do not
        # stand behind an import, and not behind long values.
        self._reads = Lane(address, self._layout.probe)
        self._writes = Lane(address, self._layout.probe)
        self._long_reads = Lane(address, self._layout.probe)
        self._swept_at = 0.0

    async def start(self) -> None:
        """Connect; raises `RedisStartError`. The way of long values opens when it is needed."""
        await self._reads.start()
        await self._writes.start()

    async def _read(self, key: str, cache_ttl: int | None) -> KVStored | None:
        raw = await self._reads.ask("GET", (self._layout.get_short(key),), is_read=True)
        return await self._whole(key, self._judged(raw, "GET"), "GET")

    def _judged(self, raw: bytes, operation: str) -> KVStored | int | None:
        try:
            return read_record(raw, self._clock())
        except ForeignRecordError:
            raise KVError(operation, 500, "The record in Redis is none of ours") from None

    async def _whole(
        self, key: str, record: KVStored | int | None, operation: str
    ) -> KVStored | None:
        """Return what was read; when that is the length of a long value, fetch it whole."""
        while isinstance(record, int):
            command = (self._layout.get_whole(key),)
            raw = await self._long_reads.ask(operation, command, is_read=True, weight=record)
            record = self._judged(raw or b"", operation)
        return record

    async def _read_many(self, keys: Sequence[str]) -> dict[str, KVStored]:
        commands = [self._layout.get_short(key) for key in keys]
        answers = await self._reads.ask("GET_BULK", commands, len(keys), is_read=True)
        found: dict[str, KVStored] = {}
        size = 0
        for key, raw in zip(keys, answers if len(keys) > 1 else [answers], strict=True):
            stored = await self._whole(key, self._judged(raw, "GET_BULK"), "GET_BULK")
            if stored is not None:
                found[key] = stored
                size += len(stored.value)
            if size > MAX_BULK_BYTES:
                break  # the contract refuses it; a hundred long values need not be held for that
        return found

    async def _write(self, row: KVRow) -> None:
        await self._write_many([row])

    async def _write_many(self, rows: Sequence[KVRow]) -> None:
        self._sweep_if_due()
        command, replies = self._layout.put(rows)
        weight = sum(len(row.value) for row in rows)
        await self._writes.ask("PUT", command, replies, weight=weight)

    async def _remove(self, key: str) -> None:
        await self._writes.ask("DELETE", (self._layout.delete(key),))

    async def _scan(self, prefix: str, cursor: str | None, limit: int) -> KVPage:
        self._sweep_if_due()
        start = prefix.encode()
        first = b"[" + start if start else b"-"
        # UTF-8 has no byte 255, so there is always a next prefix.
        end = b"(" + start[:-1] + bytes([start[-1] + 1]) if start else b"+"
        if cursor is not None:
            after = decode_cursor(cursor)
            if after is None:
                return KVPage([], list_complete=True, cursor=None)
            if after >= start:
                first = b"(" + after
        # One more than asked for tells whether this page is the last.
        command = (self._layout.page(first, end, self._clock(), limit + 1),)
        at_end, last, found = await self._reads.ask("GET", command, is_read=True)
        entries = zip(found[::3], found[1::3], found[2::3], strict=True)
        keys = [
            KVKey(name.decode(), ends or None, json.loads(text) if text else None)
            for name, ends, text in entries
        ]
        if len(keys) > limit:
            return KVPage(keys[:limit], list_complete=False, cursor=encode_cursor(keys[-2].name))
        if at_end:
            return KVPage(keys, list_complete=True, cursor=None)
        return KVPage(keys, list_complete=False, cursor=encode_cursor(last.decode()))

    def _sweep_if_due(self) -> None:
        """Remove ended entries now and then; reads never show them, swept or not."""
        now = self._clock()
        if 0 <= now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        command = (self._layout.sweep(now),)
        sweep = asyncio.ensure_future(self._writes.ask("DELETE", command, is_read=True))
        # Housekeeping may fail; the next one makes up for it.
        sweep.add_done_callback(self._after_sweep)

    def _after_sweep(self, sweep: "asyncio.Future[int]") -> None:
        if not sweep.cancelled() and sweep.exception() is None and sweep.result() == SWEEP_ROWS:
            self._swept_at = 0.0  # there may be more: go on with the next call

    async def close(self) -> None:
        """See the contract."""
        await asyncio.gather(self._reads.close(), self._writes.close(), self._long_reads.close())


async def open_namespace(url: str, name: str, clock: Callable[[], float]) -> KVNamespace:
    """
    Open the namespace *name* on the server that *url* names.

    redis://[[user]:password@]host[:port][/database], rediss://… (TLS) or unix:///path; ?prefix=
    changes what all key names begin with ("edgekeep"). *clock* gives the seconds since the epoch.

    Raises:
        RedisStartError: a sentence for the developer, without the password.
    """
    namespace = RedisNamespace(RedisAddress.parse(url), name, clock)
    try:
        await namespace.start()
    except BaseException:
        await namespace.close()
        raise
    return namespace
