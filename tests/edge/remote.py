"""
The edge adapters as the suites see them: the contract here, its primitives in real workerd.

Each class passes a primitive through the test door to the adapter of the same contract; what the
suites judge is therefore the adapter, the runtime's binding and Cloudflare's simulator behind it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from aiohttp import ClientSession

from d1_schema.contract import D1Database, D1Error, D1Rows, D1Session
from d1_schema.values import Parameter, Value
from kv.contract import KVNamespace, KVPage, KVRow, KVStored
from r2.checksums import StatedChecksum
from r2.conditions import Condition
from r2.contract import ObjectMetadata, R2Bucket
from r2.listing import ListQuery
from r2.objects import R2Object, R2ObjectBody, R2Objects, R2UploadedPart
from r2.ranges import RangeRequest
from r2.streams import BodyStream, IncomingBody, MemorySource
from tests.edge.inside.door import SentBody, SentObject
from tests.edge.workerd import Workerd, declared_stores


class _Remote:
    """Calls primitives of the adapter over one binding."""

    def __init__(self, workerd: Workerd, binding: str) -> None:
        self.workerd = workerd
        self.binding = binding

    async def __call__(self, primitive: str, *arguments: Any) -> Any:
        # Shielded: a suite that cancels a call must not leave half a request behind.
        call = asyncio.to_thread(self.workerd.call, self.binding, primitive, arguments)
        return await asyncio.shield(asyncio.ensure_future(call))


class RemoteNamespace(KVNamespace):
    """
    An empty KV namespace in workerd.

    The suites live at a time of their own; expiries are moved to the real one and back.
    """

    def __init__(
        self, workerd: Workerd, clock: Callable[[], float], binding: str | None = None
    ) -> None:
        super().__init__(clock)
        self._remote = _Remote(workerd, binding or workerd.fresh("KV"))
        self._ahead = int(time.time()) - int(clock())

    async def close(self) -> None:
        """Nothing is open."""

    async def _read(self, key: str, cache_ttl: int | None) -> KVStored | None:
        return await self._remote("_read", key, cache_ttl)

    async def _read_many(self, keys: Sequence[str]) -> dict[str, KVStored]:
        return await self._remote("_read_many", list(keys))

    async def _write(self, row: KVRow) -> None:
        await self._remote("_write", self._moved(row))

    async def _write_many(self, rows: Sequence[KVRow]) -> None:
        await self._remote("_write_many", list(map(self._moved, rows)))

    async def _remove(self, key: str) -> None:
        await self._remote("_remove", key)

    async def _scan(self, prefix: str, cursor: str | None, limit: int) -> KVPage:
        page: KVPage = await self._remote("_scan", prefix, cursor, limit)
        keys = [
            key if key.expiration is None else replace(key, expiration=key.expiration - self._ahead)
            for key in page.keys
        ]
        return replace(page, keys=keys)

    def _moved(self, row: KVRow) -> KVRow:
        if row.expires_at is None:
            return row
        return row._replace(expires_at=row.expires_at + self._ahead)


class RemoteDatabase(D1Database):
    """An empty D1 database in workerd."""

    def __init__(self, workerd: Workerd, binding: str | None = None) -> None:
        self._remote = _Remote(workerd, binding or workerd.fresh("D1"))

    async def close(self) -> None:
        """Nothing is open."""

    async def run_first(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Value]] | None:
        return await self._remote("run_first", sql, parameters)

    async def run_raw(
        self, sql: str, parameters: tuple[Parameter, ...]
    ) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        return await self._remote("run_raw", sql, parameters)

    async def run_batch(
        self, statements: Sequence[tuple[str, tuple[Parameter, ...]]]
    ) -> list[D1Rows]:
        return await self._remote("run_batch", list(statements))

    async def run_lines(self, lines: Sequence[str]) -> float:
        return await self._remote("run_lines", list(lines))

    def _session(self, constraint: str | None) -> D1Session:
        """Raise what the adapter raises on this runtime."""
        raise D1Error("D1_ERROR: This runtime has no D1 sessions.")


class RemoteBucket(R2Bucket):
    """
    An empty R2 bucket in workerd.

    The suites live at a time of their own; conditions and times of upload are moved.
    """

    def __init__(self, workerd: Workerd, clock: Callable[[], float]) -> None:
        self._remote = _Remote(workerd, workerd.fresh("R2"))
        self._ahead = timedelta(seconds=int(time.time()) - int(clock()))

    async def close(self) -> None:
        """Nothing is open."""

    async def _head(self, key: str) -> R2Object | None:
        return self._back(await self._remote("_head", key))

    async def _get(
        self, key: str, condition: Condition | None, wanted: RangeRequest | None
    ) -> R2ObjectBody | R2Object | None:
        found = await self._remote("_get", key, self._moved(condition), wanted)
        if not isinstance(found, SentObject):
            return self._back(found)
        body = BodyStream(MemorySource(found.data), len(found.data))
        return R2ObjectBody(**_fields(self._back(R2Object(**found.members))), body=body)

    async def _put(
        self,
        key: str,
        body: IncomingBody,
        metadata: ObjectMetadata,
        condition: Condition | None,
        stated: StatedChecksum | None,
    ) -> R2Object | None:
        sent = await _read(body)
        moved = self._moved(condition)
        return self._back(await self._remote("_put", key, sent, metadata, moved, stated))

    async def _delete(self, keys: Sequence[str]) -> None:
        await self._remote("_delete", list(keys))

    async def _list(self, query: ListQuery) -> R2Objects:
        page: R2Objects = await self._remote("_list", query)
        return replace(page, objects=list(map(self._back, page.objects)))

    async def _create_upload(self, key: str, metadata: ObjectMetadata) -> str:
        return await self._remote("_create_upload", key, metadata)

    async def _upload_part(
        self, key: str, upload_id: str, number: int, body: IncomingBody
    ) -> R2UploadedPart:
        return await self._remote("_upload_part", key, upload_id, number, await _read(body))

    async def _complete_upload(
        self, key: str, upload_id: str, parts: Sequence[R2UploadedPart]
    ) -> R2Object:
        return self._back(await self._remote("_complete_upload", key, upload_id, list(parts)))

    async def _abort_upload(self, key: str, upload_id: str) -> None:
        await self._remote("_abort_upload", key, upload_id)

    def _moved(self, condition: Condition | None) -> Condition | None:
        if condition is None:
            return None
        ahead = self._ahead // timedelta(milliseconds=1)
        before, after = condition.uploaded_before, condition.uploaded_after
        return replace(
            condition,
            uploaded_before=None if before is None else before + ahead,
            uploaded_after=None if after is None else after + ahead,
        )

    def _back(self, found: Any) -> Any:
        return None if found is None else replace(found, uploaded=found.uploaded - self._ahead)


def _fields(found: R2Object) -> dict[str, Any]:
    return {field.name: getattr(found, field.name) for field in fields(R2Object)}


async def _read(body: IncomingBody) -> SentBody:
    return SentBody(b"".join([chunk async for chunk in body.chunks()]), body.length)


async def empty(workerd: Workerd, db: D1Database) -> None:
    """Empty what the Worker keeps: its KV namespaces and its tables."""
    for binding in declared_stores()["kvNamespaces"]:
        kv = RemoteNamespace(workerd, time.time, binding)
        while keys := (await kv.list()).keys:
            await asyncio.gather(*(kv.delete(key.name) for key in keys))
    for table in ("profiles", "identities", "accounts", "sessions", "spent_tokens"):
        await db.prepare(f"DELETE FROM {table}").run()
    url = workerd.url.rstrip("/") + "/__recount"
    async with ClientSession() as session, session.get(url) as done:
        assert done.status == 200, await done.text()
