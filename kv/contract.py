"""
What every KV namespace promises, whatever holds the values.

Public methods check, limit and convert once, here, and call a few primitives that
the adapters implement; so a wrong call fails alike on a laptop and at the edge.
Source: Cloudflare's Workers KV API, as measured in facts/bindings.md A.

Not promised: that a write is seen elsewhere at once (at Cloudflare it may take a
minute, and a cached miss as well), compare-and-set, and that a page of `list` is
full. What must be exact belongs into D1 or a Durable Object.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias, overload

from kv.checks import (
    DEFAULT_LIMIT,
    MAX_BULK_BYTES,
    KVError,
    check_bulk,
    check_cache_ttl,
    check_cursor,
    check_key,
    check_limit,
    check_value_length,
    expiry_of,
    metadata_text,
    read_json,
    value_bytes,
)
from kv.values import KVKey, KVPage, KVPut, KVRow, KVStored, KVValue

__all__ = [
    "KVError",
    "KVKey",
    "KVNamespace",
    "KVPage",
    "KVPut",
    "KVRow",
    "KVStored",
    "KVValue",
    "KVValueInput",
]

STREAM_CHUNK: Final = 64 * 1024
"""Bytes in one piece of a value read as a stream."""
SLICE_ROWS: Final = 256
SLICE_BYTES: Final = 1024 * 1024
"""`put_many` hands over at most so many rows and about so many bytes at a time."""

KVValueInput: TypeAlias = str | bytes | bytearray | memoryview | AsyncIterable[bytes]


class KVNamespace(ABC):
    """
    One namespace: keys of at most 512 bytes, values of at most 25 MiB.

    *clock* gives the seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    @overload
    async def get(
        self, key: str, type: Literal["text"] = "text", *, cache_ttl: int | None = None
    ) -> str | None: ...
    @overload
    async def get(
        self, key: str, type: Literal["bytes"], *, cache_ttl: int | None = None
    ) -> bytes | None: ...
    @overload
    async def get(
        self, key: str, type: Literal["stream"], *, cache_ttl: int | None = None
    ) -> AsyncIterator[bytes] | None: ...
    @overload
    async def get(self, key: str, type: str, *, cache_ttl: int | None = None) -> Any: ...

    async def get(self, key: str, type: str = "text", *, cache_ttl: int | None = None) -> Any:
        """
        Return the value of *key* as "text", "bytes", "json" or "stream"; None when missing.

        As text, what is not UTF-8 reads as U+FFFD. *cache_ttl* (seconds, at least 30)
        allows the edge to answer from a cache; a local store ignores it.

        Raises:
            TypeError: the key is no key, or there is a value and the type is unknown.
            ValueError: "json" of a value that is not JSON.
            KVError: 414 (key too long), 400 (cache_ttl).
        """
        check_key(key, "GET")
        if cache_ttl is not None:
            cache_ttl = check_cache_ttl(cache_ttl)
        found = await self._read(key, cache_ttl)
        if found is None:
            return None
        if type == "text":
            return found.value.decode("utf-8", "replace")
        return _converted(found.value, type)

    async def get_with_metadata(
        self, key: str, type: str = "text", *, cache_ttl: int | None = None
    ) -> KVValue:
        """Return value and metadata of *key*; for types and errors see `get`."""
        check_key(key, "GET")
        if cache_ttl is not None:
            cache_ttl = check_cache_ttl(cache_ttl)
        found = await self._read(key, cache_ttl)
        if found is None:
            return KVValue(None, None)
        return KVValue(_converted(found.value, type), _parsed(found.metadata))

    async def get_many(self, keys: Iterable[str], type: str = "text") -> dict[str, Any]:
        """
        Return the values of at most 100 keys, None for a missing one, as one operation.

        Raises:
            KVError: no key, more than 100, an empty or long one, a type other than
                "text" and "json", a value that is not JSON, or more than 25 MiB.
        """
        found = await self._get_many(keys, type)
        return {key: None if each is None else each.value for key, each in found.items()}

    async def get_many_with_metadata(
        self, keys: Iterable[str], type: str = "text"
    ) -> dict[str, KVValue | None]:
        """Return values and metadata of at most 100 keys; for errors see `get_many`."""
        return await self._get_many(keys, type)

    async def _get_many(self, keys: Iterable[str], type: str) -> dict[str, KVValue | None]:
        wanted = check_bulk(keys, type)
        found = await self._read_many(wanted)
        if sum(len(stored.value) for stored in found.values()) > MAX_BULK_BYTES:
            raise KVError("GET_BULK", 413, "Total size of request exceeds the limit of 25MB")
        answer: dict[str, KVValue | None] = {}
        for key in wanted:
            stored = found.get(key)
            if stored is None:
                answer[key] = None
                continue
            try:
                value = _converted(stored.value, type)
            except ValueError:
                text = "At least one of the requested keys corresponds to a non-json value"
                raise KVError("GET_BULK", 400, text) from None
            answer[key] = KVValue(value, _parsed(stored.metadata))
        return answer

    async def list(
        self,
        *,
        prefix: str | None = "",
        limit: int | None = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> KVPage:
        """
        Return a page of the keys that begin with *prefix*, in UTF-8 byte order.

        At most *limit* keys (0 and less mean 1000), from behind *cursor*, which is
        opaque. A page may be short or empty without being the last: loop on
        `list_complete`.

        Raises:
            KVError: 400 (limit above 1000), 414 (prefix longer than 512 bytes).
        """
        if prefix is None:
            prefix = ""
        check_key(prefix, "GET", is_prefix=True)
        return await self._scan(prefix, check_cursor(cursor), check_limit(limit))

    async def put(
        self,
        key: str,
        value: KVValueInput,
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: Any = None,
    ) -> None:
        """
        Store *value*; it replaces value, expiry and metadata together.

        *expiration* is absolute (seconds since the epoch), *expiration_ttl* relative
        (seconds) and wins; both at least 60 seconds ahead. *metadata* is any JSON
        value of at most 1024 bytes. A stream is read to its end first.

        Raises:
            TypeError: key or value has a type that KV does not take.
            KVError: 400 (expiry), 413 (value or metadata too long), 414 (key too long).
        """
        check_key(key, "PUT")
        expires_at = expiry_of(expiration, expiration_ttl, self._clock)
        text = metadata_text(metadata)
        if isinstance(value, AsyncIterable):
            stored = await _collected(value)
        else:
            stored = value_bytes(value)
        await self._write(KVRow(key, stored, expires_at, text))

    async def put_many(self, entries: Iterable[KVPut]) -> None:
        """
        Store many entries: ours, not Cloudflare's, for bulk import.

        Not atomic: a failure may leave earlier entries stored. When it returns, each
        entry is stored as durably as after `put`. Of equal keys the last one wins.

        Raises:
            TypeError, KVError: as `put`, for the first wrong entry.
        """
        rows: list[KVRow] = []
        size = 0
        for key, value, expiration, expiration_ttl, metadata in entries:
            check_key(key, "PUT")
            stored = value_bytes(value)
            # Most entries of a bulk have neither; a call for each would cost more than the row.
            is_endless = expiration is None and expiration_ttl is None
            expires_at = None if is_endless else expiry_of(expiration, expiration_ttl, self._clock)
            text = None if metadata is None else metadata_text(metadata)
            rows.append(KVRow(key, stored, expires_at, text))
            size += len(stored)
            if len(rows) >= SLICE_ROWS or size >= SLICE_BYTES:
                await self._write_many(rows)
                # Let others have the loop between slices, whatever the adapter does.
                await asyncio.sleep(0)
                rows, size = [], 0
        if rows:
            await self._write_many(rows)

    async def delete(self, key: str) -> None:
        """
        Remove *key*; a missing one is no error.

        Raises:
            TypeError: the key is no key.
            KVError: 414 (key too long).
        """
        check_key(key, "DELETE")
        await self._remove(key)

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go of the store. May be called twice."""

    @abstractmethod
    async def _read(self, key: str, cache_ttl: int | None) -> KVStored | None:
        """Primitive: the living entry of *key*, or None."""

    @abstractmethod
    async def _read_many(self, keys: Sequence[str]) -> dict[str, KVStored]:
        """Primitive: the living entries among *keys*."""

    @abstractmethod
    async def _write(self, row: KVRow) -> None:
        """Primitive: store *row*, durable when it returns."""

    @abstractmethod
    async def _write_many(self, rows: Sequence[KVRow]) -> None:
        """Primitive: store *rows* in order, durable when it returns."""

    @abstractmethod
    async def _remove(self, key: str) -> None:
        """Primitive: remove the entry of *key*, if any."""

    @abstractmethod
    async def _scan(self, prefix: str, cursor: str | None, limit: int) -> KVPage:
        """Primitive: a page of living entries."""


def _converted(value: bytes, type: str) -> Any:
    if type == "text":
        return value.decode("utf-8", "replace")
    if type == "json":
        return read_json(value.decode("utf-8", "replace"))
    if type == "bytes":
        return value
    if type == "stream":
        return _chunks(value)
    raise TypeError(
        'Unknown response type. Possible types are "text", "bytes", "json", and "stream".'
    )


def _parsed(metadata: str | None) -> Any:
    return None if metadata is None else json.loads(metadata)


async def _chunks(value: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(value), STREAM_CHUNK):
        yield value[start : start + STREAM_CHUNK]


async def _collected(stream: AsyncIterable[bytes]) -> bytes:
    collected = bytearray()
    async for chunk in stream:
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"A stream of KV gives bytes, not {type(chunk).__name__}.")
        collected += chunk
        # Refused as soon as it is too long: an endless stream must not fill memory.
        check_value_length(len(collected))
    return bytes(collected)
