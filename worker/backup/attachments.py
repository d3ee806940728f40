"""
Attachments: opaque files of 1 byte to 50 MiB, e.g. the avatar that a backup refers to.

An id is 128 random bits: whoever knows it and has signed in may read, because friends fetch
avatars; what is inside only a key opens that the server never sees. Kept while the owner's backup
names them (header X-Backup-Attachments of its upload), else for 30 days (facts/seeds.md X17).
"""

from typing import Any

from r2.contract import FixedLengthStream, R2Error, R2ObjectBody, R2Range
from worker.backup.blob import Blob, chunks, declared_length
from worker.caller import Caller
from worker.codec import b64url, iso_time
from worker.env import Env
from worker.errors import NotFound, RangeNotSatisfiable, StorageUnavailable
from worker.limits import ATTACHMENT_MAX_BYTES, ATTACHMENT_SECONDS
from worker.web import Request, Response

PREFIX = "attachments/"
_FIND = "SELECT object_key, size FROM attachments WHERE id = ?1 AND ifnull(expires_at, ?2) >= ?2"
_ADD = """
INSERT INTO attachments (id, account_id, object_key, size, created_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?)
"""
_REMOVE = "DELETE FROM attachments WHERE id = ? AND account_id = ? RETURNING object_key"


async def add(request: Request, caller: Caller, env: Env) -> Response:
    """Store the raw body: 201 {id, size, sha256, expires_at}."""
    length = declared_length(request, 1, ATTACHMENT_MAX_BYTES)
    attachment_id = b64url(env.tools.random_bytes(16))
    key = f"{PREFIX}{caller.subject}/{attachment_id}"
    blob = Blob(request, length, env, _nothing)
    try:
        await env.blobs.put(key, FixedLengthStream(blob, length))
    except R2Error as error:
        env.log.error("attachment_store_failed", error)
        raise StorageUnavailable("The attachment could not be stored.") from None
    now = env.now_ms()
    ends = now + ATTACHMENT_SECONDS * 1000
    # Should this fail, the object has no row and the sweep removes it.
    await env.db.prepare(_ADD).bind(attachment_id, caller.subject, key, length, now, ends).run()
    body = {
        "id": attachment_id,
        "size": length,
        "sha256": blob.sha256,
        "expires_at": iso_time(ends / 1000),
    }
    location = {"Location": f"/v1/attachments/{attachment_id}"}
    return Response.json(body, 201, {"Cache-Control": "no-store", **location})


async def get(request: Request, caller: Caller, env: Env) -> Response:
    """Stream an attachment, or the part that Range names; it never changes, so 304 is for ever."""
    attachment_id = request.params["id"]
    row = await env.db.prepare(_FIND).bind(attachment_id, env.now_ms()).first()
    if row is None:
        raise NotFound("There is no attachment with this id.")
    tag = f'"{attachment_id}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=2592000, immutable",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": "attachment",
    }
    if tag in (request.headers.get("if-none-match") or ""):
        return Response(None, 304, headers)
    if request.method == "HEAD":
        return Response(chunks(None), 200, {**headers, "Content-Length": str(row["size"])})
    wanted = request.headers.get("range")
    if wanted is None or request.headers.get("if-range") not in (None, tag):
        wanted = None
    return await _answer(env, row, wanted, headers)


async def remove(request: Request, caller: Caller, env: Env) -> Response:
    """Delete an attachment of one's own; 404 for those of others."""
    row = await env.db.prepare(_REMOVE).bind(request.params["id"], caller.subject).first()
    if row is None:
        raise NotFound("There is no attachment of yours with this id.")
    await env.blobs.delete(row["object_key"])
    return Response(None, 204, {"Cache-Control": "no-store"})


async def _answer(
    env: Env, row: dict[str, Any], wanted: str | None, headers: dict[str, str]
) -> Response:
    size = row["size"]
    try:
        asked = {"range": wanted} if wanted is not None else None
        found = await env.blobs.get(row["object_key"], range=asked)
    except (R2Error, ValueError):
        fields = {"Content-Range": f"bytes */{size}"}
        raise RangeNotSatisfiable("There is no such part.", headers=fields) from None
    if not isinstance(found, R2ObjectBody):
        raise NotFound("The attachment is lost: its object is not in the store.")
    part = _part(found.range, size)
    if wanted is None or part is None:
        return Response(chunks(found), 200, {**headers, "Content-Length": str(size)})
    offset, length = part
    headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{size}"
    return Response(chunks(found), 206, {**headers, "Content-Length": str(length)})


def _part(found: R2Range | None, size: int) -> tuple[int, int] | None:
    """Return offset and length of what was read; None when it is everything."""
    if found is None or found.length in (None, size):
        return None
    return found.offset or 0, int(found.length or 0)


async def _nothing() -> None:
    """Attachments reserve nothing, so there is nobody to tell."""
