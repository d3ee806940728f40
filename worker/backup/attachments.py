"""
Attachments: opaque files of 1 byte to 50 MiB, e.g. the avatar that a backup refers to.

An id is 128 random bits: whoever knows it and has signed in may read, because friends fetch
avatars; what is inside only a key opens that the server never sees. Kept while the owner's backup
names them (header X-Backup-Attachments of its upload), else for 30 days (facts/seeds.md X17).
"""

from typing import Any

from worker.backup.blob import Blob, chunks, declared_length, exists, fetch, remove, store
from worker.backup.precondition import is_known
from worker.backup.ranges import wanted_part
from worker.codec import b64url, iso_time
from worker.env import Env
from worker.errors import NotFound, Unauthorized
from worker.identity.caller import Caller
from worker.limits import ATTACHMENT_MAX_BYTES, ATTACHMENT_SECONDS
from worker.web import Request, Response

PREFIX = "attachments/"
_BINARY = "application/octet-stream"
_FIND = "SELECT object_key, size FROM attachments WHERE id = ?1 AND ifnull(expires_at, ?2) >= ?2"
_ADD = """
INSERT INTO attachments (id, account_id, object_key, size, created_at, expires_at)
SELECT ?1, id, ?3, ?4, ?5, ?6 FROM accounts WHERE id = ?2
"""
_REMOVE = "DELETE FROM attachments WHERE id = ? AND account_id = ? RETURNING object_key"


def prefix_of(account_id: str) -> str:
    """Return what the keys of an account's attachments begin with."""
    return f"{PREFIX}{account_id}/"


async def add(request: Request, caller: Caller, env: Env) -> Response:
    """Store the raw body: 201 {id, size, sha256, expires_at}."""
    length = declared_length(request, 1, ATTACHMENT_MAX_BYTES)
    attachment_id = b64url(env.tools.random_bytes(16))
    key = prefix_of(caller.subject) + attachment_id
    blob = Blob(request, length, env)
    try:
        await store(env, key, blob)
        ends = await _enter(env, caller.subject, attachment_id, key, length)
    except BaseException:
        # Nobody knows its id, so it counts for nothing, even if it should have got a row.
        env.tools.wait_until(remove(env, key))
        raise
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
    headers = {"ETag": tag, "Cache-Control": "private, max-age=2592000, immutable"}
    if is_known(request, tag):
        return Response(None, 304, headers)
    about = {"Content-Type": _BINARY, "Content-Disposition": "attachment", "Accept-Ranges": "bytes"}
    return await _answer(request, env, row, {**headers, **about})


async def remove_own(request: Request, caller: Caller, env: Env) -> Response:
    """Delete an attachment of one's own; 404 for those of others."""
    row = await env.db.prepare(_REMOVE).bind(request.params["id"], caller.subject).first()
    if row is None:
        raise NotFound("There is no attachment of yours with this id.")
    env.tools.wait_until(remove(env, row["object_key"]))
    return Response(None, 204, {"Cache-Control": "no-store"})


async def _enter(env: Env, account_id: str, attachment_id: str, key: str, size: int) -> int:
    """Make the row; return the end of its life in epoch milliseconds."""
    now = env.now_ms()
    ends = now + ATTACHMENT_SECONDS * 1000
    values = (attachment_id, account_id, key, size, now, ends)
    if (await env.db.prepare(_ADD).bind(*values).run()).meta.changes != 1:
        raise Unauthorized("The account is gone.")
    return ends


async def _answer(
    request: Request, env: Env, row: dict[str, Any], headers: dict[str, str]
) -> Response:
    key, size = row["object_key"], row["size"]
    if request.method == "HEAD":
        # Range is for GET alone (RFC 9110 §14.2).
        if not await exists(env, key):
            raise _lost(env)
        return Response(chunks(None), 200, {**headers, "Content-Length": str(size)})
    part = wanted_part(request, headers["ETag"], size)
    asked = None if part is None else {"offset": part.offset, "length": part.length}
    found = await fetch(env, key, asked)
    if found is None:
        raise _lost(env)
    if part is None:
        return Response(chunks(found), 200, {**headers, "Content-Length": str(size)})
    shown = {"Content-Length": str(part.length), "Content-Range": part.content_range(size)}
    return Response(chunks(found), 206, {**headers, **shown})


def _lost(env: Env) -> NotFound:
    env.log.event("error", "attachment_object_lost")
    return NotFound("The attachment is lost: its object is not in the store.")
