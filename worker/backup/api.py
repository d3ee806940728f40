"""The doors of the backup (seed encrypted-backup.md §4.3, facts/seeds.md 1.001 and 2.001)."""

import re

from worker.backup.blob import chunks, declared_length
from worker.backup.precondition import etag, expected_version, is_known
from worker.backup.repository import Slot
from worker.backup.service import BackupService
from worker.codec import iso_time
from worker.env import Env
from worker.errors import BadRequest
from worker.identity.caller import Caller
from worker.limits import BACKUP_KEEPS, BACKUP_MIN_BYTES
from worker.web import Request, Response

KEEPS_HEADER = "X-Backup-Attachments"
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
