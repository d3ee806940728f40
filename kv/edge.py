"""
KV at the edge: Cloudflare's own namespace behind the contract.

The contract has checked every argument before a primitive runs; what is left to KV are its own
refusals, whose texts become `KVError` as they are. Bulk reads need a runtime of 2025 or newer; an
older one gets single reads instead. Unlike the local stores: see docs/edge.md.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from kv.contract import KVError, KVKey, KVNamespace, KVPage, KVRow, KVStored
from worker import interop
from worker.interop import JsError

_REFUSAL = re.compile(r"KV (\w+) failed: (\d{3}) (.*)", re.DOTALL)
# An expiry this near (seconds) is sent as a TTL: KV compares with its own clock, and a moment that
# was 60 seconds ahead when the contract looked could be 59 when KV does.
_NEAR: Final = 300


class EdgeNamespace(KVNamespace):
    """A KV binding. *namespace* is the raw JavaScript object."""

    def __init__(self, namespace: Any, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._namespace = namespace

    async def close(self) -> None:
        """Nothing to close: the runtime owns the binding."""

    async def _read(self, key: str, cache_ttl: int | None) -> KVStored | None:
        options = interop.plain_object(type="arrayBuffer", cacheTtl=cache_ttl)
        found = await self._call("GET", "getWithMetadata", key, options)
        value = interop.member(found, "value")
        if value is None:
            return None
        return KVStored(interop.to_bytes(value), _metadata(found))

    async def _read_many(self, keys: Sequence[str]) -> dict[str, KVStored]:
        # A JavaScript Map made from bulk reads loses keys that look like an index (bindings.md A7).
        bulk = [key for key in keys if not key.isdecimal()]
        single = [key for key in keys if key.isdecimal()]
        answer: dict[str, KVStored] = {}
        if bulk:
            found = await self._read_bulk(bulk)
            if found is None:
                single = list(keys)
            else:
                answer = found
        read = await interop.all_of([partial(self._read, key, None) for key in single])
        for key, stored in zip(single, read, strict=True):
            if stored is not None:
                answer[key] = stored
        return answer

    async def _read_bulk(self, keys: Sequence[str]) -> dict[str, KVStored] | None:
        """Read *keys* in one operation; None where the runtime takes the list for one odd key."""
        try:
            found = await self._call("GET_BULK", "getWithMetadata", interop.array(keys), "text")
        except KVError as error:
            if error.operation == "GET_BULK":
                raise
            return None
        return _bulk_answer(found) if interop.class_of(found) == "Map" else None

    async def _write(self, row: KVRow) -> None:
        expiration = ttl = None
        if row.expires_at is not None:
            left = row.expires_at - int(self._clock())
            if left <= _NEAR:
                ttl = max(left, 60)
            else:
                expiration = row.expires_at
        options = interop.plain_object(expiration=expiration, expirationTtl=ttl)
        if row.metadata is not None:
            options.metadata = interop.from_json(row.metadata)
        await self._call("PUT", "put", row.key, interop.buffer(row.value), options)

    async def _write_many(self, rows: Sequence[KVRow]) -> None:
        # Concurrent writes have no order, so of equal keys only the last is sent.
        last = {row.key: row for row in rows}
        await interop.all_of([partial(self._write, row) for row in last.values()])

    async def _remove(self, key: str) -> None:
        await self._call("DELETE", "delete", key)

    async def _scan(self, prefix: str, cursor: str | None, limit: int) -> KVPage:
        options = interop.plain_object(prefix=prefix or None, cursor=cursor, limit=limit)
        page = interop.to_json(await self._call("GET", "list", options))
        keys = [KVKey(k["name"], k.get("expiration"), k.get("metadata")) for k in page["keys"]]
        complete = bool(page["list_complete"])
        return KVPage(keys, complete, None if complete else page["cursor"])

    async def _call(self, operation: str, method: str, *arguments: Any) -> Any:
        try:
            return await interop.call(self._namespace, method, *arguments)
        except JsError as error:
            raise _translated(operation, error) from None


def _translated(operation: str, error: JsError) -> Exception:
    """Return what the contract promises for a JavaScript exception of KV."""
    refused = _REFUSAL.fullmatch(str(error))
    if refused:
        return KVError(refused[1], int(refused[2]), refused[3])
    if error.name == "TypeError":
        return TypeError(str(error))
    return KVError(operation, 500, str(error))


def _metadata(found: Any) -> str | None:
    value = interop.to_json(interop.member(found, "metadata"))
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bulk_answer(found: Any) -> dict[str, KVStored]:
    answer: dict[str, KVStored] = {}
    pairs = interop.to_json(getattr(interop.js_global("Array"), "from")(found))
    for key, entry in pairs:
        if entry is not None and entry["value"] is not None:
            kept = entry.get("metadata")
            metadata = None if kept is None else json.dumps(kept, ensure_ascii=False)
            answer[key] = KVStored(entry["value"].encode(), metadata)
    return answer
