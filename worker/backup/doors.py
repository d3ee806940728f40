"""
The doors of the backup and of attachments (seed encrypted-backup.md §4.3, facts/seeds.md 2.001).

An attachment is an opaque file of 1 byte to 50 MiB, e.g. the avatar that a backup refers to. Its id
is 128 random bits: whoever knows it and has signed in may read, because friends fetch avatars; what
is inside only a key opens that the server never sees. Kept while the owner's backup names it
(header X-Backup-Attachments of its upload), else for 30 days (facts/seeds.md X17).
"""

import re
from typing import Any

from worker.backup.blob import (
    Blob,
    chunks,
    declared_length,
    exists,
    fetch,
    remove,
    store,
    upload_seconds,
)
from worker.backup.conditions import etag, expected_version, is_known, wanted_part
from worker.backup.service import BackupService
from worker.backup.store import ATTACHMENT_PREFIX, AttachmentStore, Slot
from worker.codec import b64url, iso_time
from worker.env import Env
from worker.errors import BadRequest, NotFound, QuotaExceeded, RequestTimeout
from worker.identity.caller import Caller
from worker.limits import MIB
from worker.web import Request, Response
from worker.wire.sent_headers import sent

# Less would be an accident, more is for the setting BACKUP_MAX_BYTES (seed §4.3; X16).
BACKUP_MIN_BYTES = 32
# Attachments that one backup may refer to.
BACKUP_KEEPS = 16
ATTACHMENT_MAX_BYTES = 50 * MIB
# What is reserved for an upload outlives it by so much: its row is still to be made then.
_AFTER_SECONDS = 60

KEEPS_HEADER = sent("X-Backup-Attachments")
_BINARY = "application/octet-stream"
_PRIVATE = {"Cache-Control": "private, no-store"}
_IDS = re.compile(r"[A-Za-z0-9_-]{22}(?:,[A-Za-z0-9_-]{22})*", re.ASCII)


async def put_backup(request: Request, caller: Caller, env: Env) -> Response:
    """Store the raw body as the caller's backup: 201 the first, 200 a later one."""
    expected = expected_version(request)
    length = declared_length(request, BACKUP_MIN_BYTES, env.settings.backup_max_bytes)
    keeps = _keeps(request)
    slot = await BackupService(env, caller.subject).upload(request, length, expected, keeps)
    body = {
        "version": slot.version,
        "size": slot.size,
        "sha256": slot.sha256,
        "updated_at": iso_time(slot.updated_at / 1000),
    }
    return Response.json(body, 201 if expected is None else 200, {**_PRIVATE, **_headers(slot)})


async def get_backup(request: Request, caller: Caller, env: Env) -> Response:
    """Stream the backup; 304 when the client has it already. HEAD tells without reading."""
    service = BackupService(env, caller.subject)
    slot = await service.current()
    if is_known(request, etag(slot.version)):
        return Response(None, 304, {**_PRIVATE, **_headers(slot)})
    found = None
    if request.method == "HEAD":
        slot = await service.look(slot)
    else:
        slot, found = await service.read(slot)
    about = {"Content-Type": _BINARY, "Content-Length": str(slot.size)}
    return Response(chunks(found), 200, {**_PRIVATE, **_headers(slot), **about})


async def delete_backup(request: Request, caller: Caller, env: Env) -> Response:
    """Delete the backup; with If-Match, only that version."""
    if request.field("if-none-match") is not None:
        raise BadRequest("If-None-Match means nothing here.")
    await BackupService(env, caller.subject).delete(expected_version(request))
    return Response(None, 204, dict(_PRIVATE))


async def add_attachment(request: Request, caller: Caller, env: Env) -> Response:
    """Store the raw body: 201 {id, size, sha256, expires_at}."""
    length = declared_length(request, 1, ATTACHMENT_MAX_BYTES)
    attachment_id = b64url(env.tools.random_bytes(16))
    key = f"{ATTACHMENT_PREFIX}{caller.subject}/{attachment_id}"
    blob, rows = Blob(request, length, env), AttachmentStore(env)
    try:
        seconds = upload_seconds(length) + _AFTER_SECONDS
        await rows.reserve(caller.subject, attachment_id, length, seconds)
        await store(env, key, blob)
        ends = await rows.add(caller.subject, attachment_id, key)
        if ends is None:
            raise RequestTimeout("The upload took too long.")
    except QuotaExceeded:
        # Before the first byte: there is nothing to take back.
        raise
    except BaseException:
        env.tools.wait_until(_take_back(env, caller.subject, attachment_id, key))
        raise
    body = {
        "id": attachment_id,
        "size": length,
        "sha256": blob.sha256,
        "expires_at": iso_time(ends / 1000),
    }
    location = {"Location": f"/v1/attachments/{attachment_id}"}
    return Response.json(body, 201, {"Cache-Control": "no-store", **location})


async def _take_back(env: Env, account_id: str, attachment_id: str, key: str) -> None:
    """
    Remove what there may be of an attachment whose id nobody was told, the reservation last.

    What cannot be removed now, the sweep and the end of the reservation will.
    """
    await remove(env, key)
    try:
        await AttachmentStore(env).give_up(account_id, attachment_id)
    except Exception as error:
        env.log.error("attachment_give_up_failed", error)


async def get_attachment(request: Request, caller: Caller, env: Env) -> Response:
    """Stream an attachment, or the part that Range names; it never changes, so 304 is for ever."""
    attachment_id = request.params["id"]
    row = await AttachmentStore(env).find(attachment_id)
    if row is None:
        raise NotFound("There is no attachment with this id.")
    tag = f'"{attachment_id}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=2592000, immutable"}
    if is_known(request, tag):
        return Response(None, 304, headers)
    about = {"Content-Type": _BINARY, "Content-Disposition": "attachment", "Accept-Ranges": "bytes"}
    return await _answer(request, env, row, {**headers, **about})


async def delete_attachment(request: Request, caller: Caller, env: Env) -> Response:
    """Delete an attachment of one's own; 404 for those of others."""
    key = await AttachmentStore(env).remove(caller.subject, request.params["id"])
    if key is None:
        raise NotFound("There is no attachment of yours with this id.")
    env.tools.wait_until(remove(env, key))
    return Response(None, 204, {"Cache-Control": "no-store"})


def _headers(slot: Slot) -> dict[str, str]:
    return {"ETag": etag(slot.version), "X-Checksum-Sha256": slot.sha256}


def _keeps(request: Request) -> tuple[str, ...]:
    """Return the attachments that the blob refers to, as the client says."""
    named = (request.field(KEEPS_HEADER) or "").replace(" ", "")
    if not named:
        return ()
    ids = tuple(dict.fromkeys(named.split(",")))
    if not _IDS.fullmatch(named) or len(ids) > BACKUP_KEEPS:
        raise BadRequest(f"{KEEPS_HEADER} takes at most {BACKUP_KEEPS} ids of attachments.")
    return ids


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
