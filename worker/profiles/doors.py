"""The doors of profiles (seed hi-stranger.md §3.2, facts/seeds.md 2.002)."""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime

from durable.contract import ObjectResetError
from worker.env import Env
from worker.errors import (
    BadRequest,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from worker.idempotency import digest_of, key_of, owner_of, recall
from worker.identity.caller import Caller
from worker.profiles.finding import asker_of, find_report
from worker.profiles.key_claim import replay
from worker.profiles.model import PROFILE_ID, VERSIONS, public_view, upgrade
from worker.profiles.report import Plan
from worker.profiles.store.profiles import ProfileStore, open_store
from worker.quotas import require_room
from worker.web import JSON, Request, Response
from worker.wire import paging
from worker.wire.sent_headers import sent

_TYPE = sent("Content-Type")
_ENCODING = sent("Content-Encoding")
_CHECKSUM = sent("X-Checksum-Sha256")
_SHARD = sent("X-Shard-Id")
_NOTES = sent("X-Import-Notes")
READ = "profiles:read"
NDJSON = "application/x-ndjson"
_GZIP_TYPES = ("application/gzip", "application/x-gzip")
_LINE_TYPES = (NDJSON, "application/ndjson", "application/jsonl")
_IMPORT_ID = re.compile(r"imp_[0-9]{14}_[a-z0-9]{6,32}", re.ASCII)
_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_NOTE = re.compile(r"[\x20-\x7e]{0,200}")
_NO_STORE = {"Cache-Control": "no-store"}


async def get_item(request: Request, caller: Caller, env: Env) -> Response:
    """
    Answer one profile as stored; strangers get it without the birthday (facts X26).

    `schema_version=` asks for the document as a newer version.
    """
    profile_id = request.query.get("id", "")
    if not PROFILE_ID.fullmatch(profile_id):
        raise BadRequest("id must be usr_ and at least 6 lower-case letters or digits.")
    version = request.query.get("schema_version")
    if version is not None and version not in VERSIONS:
        raise BadRequest(f"schema_version must be one of {', '.join(VERSIONS)}.")
    document = await open_store(env).get(profile_id)
    if document is None:
        raise NotFound("There is no profile with this id.")
    if version is not None:
        newer = upgrade(json.loads(document), version)
        document = json.dumps(newer, separators=(",", ":"), ensure_ascii=False)
    if not caller.may(READ):
        document = public_view(document)
    return Response(document.encode(), 200, {"Content-Type": JSON})


async def list_profiles(request: Request, caller: Caller, env: Env) -> Response:
    """Answer a page of ids in order: {items: [{id}], list_complete, next_cursor}."""
    limit = paging.page_size(request)
    # A cursor of one store means nothing in the other.
    purpose = f"profiles:{env.settings.profile_store}"
    start = paging.position(request, env, purpose)
    ids, following = await open_store(env).page(limit, None if start is None else str(start))
    items = [{"id": profile_id} for profile_id in ids]
    return Response.json(
        {"items": items, **paging.rest(env, purpose, following)}, headers=_NO_STORE
    )


async def count_profiles(request: Request, caller: Caller, env: Env) -> Response:
    """Answer the number of profiles: {total}."""
    return Response.json({"total": await open_store(env).count()}, headers=_NO_STORE)


async def export_profiles(request: Request, caller: Caller, env: Env) -> Response:
    """Stream every profile as NDJSON in order of its id; importing it again changes nothing."""
    headers = {
        "Content-Type": NDJSON,
        "Content-Disposition": 'attachment; filename="profiles.ndjson"',
        **_NO_STORE,
    }
    return Response(_lines(open_store(env)), 200, headers)


async def _lines(store: ProfileStore) -> AsyncIterator[bytes]:
    batch: list[str] = []
    async for row in store.documents():
        batch.append(row.document)
        if len(batch) == 100:
            yield ("\n".join(batch) + "\n").encode()
            batch.clear()
    if batch:
        yield ("\n".join(batch) + "\n").encode()


async def import_profiles(request: Request, caller: Caller, env: Env) -> Response:
    """
    Import NDJSON profiles (seed §3.2): 200 all stored, 207 some, 422 none.

    The headers are judged here; the work happens in the import's own room.
    """
    plan = _plan(request, caller, env)
    require_room(env, request.content_length or 0)
    if plan.box is not None and (kept := await recall(env, plan.box)) is not None:
        return await replay(kept, plan, request, env)
    room = env.import_room.get_by_name(plan.import_id)
    query = {"plan": json.dumps(asdict(plan)), "request_id": request.request_id}
    response: Response = await room.fetch(request.forward("/import", query))
    return response


async def get_report(request: Request, caller: Caller, env: Env) -> Response:
    """Answer the report of an import, also while it runs and after it was interrupted."""
    import_id = _import_id(request.query.get("id", ""))
    report = await find_report(env, import_id, asker_of(caller))
    if report is None:
        raise NotFound("There is no report with this id; reports are kept for a limited time.")
    return Response.json(report, headers=_NO_STORE)


async def abandon_import(request: Request, caller: Caller, env: Env) -> Response:
    """Give up an import that runs or waits for its store, and answer its report."""
    import_id, asker = _import_id(request.query.get("id", "")), asker_of(caller)
    # A reset is how the room ends what runs in it.
    with contextlib.suppress(ObjectResetError):
        await env.import_room.get_by_name(import_id).call("abandon", asker)
    return await get_report(request, caller, env)


async def watch_import(request: Request, caller: Caller, env: Env) -> Response:
    """Tell an import's progress over a WebSocket; it may be opened before the import starts."""
    import_id = _import_id(request.query.get("id", ""))
    room = env.import_room.get_by_name(import_id)
    query = {"request_id": request.request_id, "asker": asker_of(caller)}
    response: Response = await room.fetch(request.forward("/progress", query))
    return response


def _plan(request: Request, caller: Caller, env: Env) -> Plan:
    headers = request.headers
    content_type, gzip = _content(request)
    if (request.content_length or 0) > env.settings.import_max_bytes:
        raise PayloadTooLarge(f"An import may have at most {env.settings.import_max_bytes} bytes.")
    mode = request.query.get("mode", "partial")
    if mode not in ("partial", "atomic"):
        raise BadRequest("mode must be partial or atomic.")
    checksum = headers.get(_CHECKSUM)
    if checksum is not None and not _SHA256_HEX.fullmatch(checksum):
        raise BadRequest("X-Checksum-Sha256 must be 64 hexadecimal digits.")
    chosen = request.query.get("id")
    key = key_of(request)
    return Plan(
        import_id=_new_import_id(env) if chosen is None else _import_id(chosen),
        principal=owner_of(caller.subject),
        received_content_type=content_type,
        gzip=gzip,
        atomic=mode == "atomic",
        checksum_sha256=checksum.lower() if checksum else None,
        box=digest_of(caller.subject, "POST /api/profiles/import", key) if key else None,
        idempotency_key=key,
        shard_id=_note(headers.get(_SHARD), _SHARD),
        notes=_note(headers.get(_NOTES), _NOTES),
        chosen=chosen is not None,
    )


def _content(request: Request) -> tuple[str, bool]:
    """Return the media type and whether the body is gzip; raises `UnsupportedMediaType`."""
    declared = (request.headers.get(_TYPE) or "").partition(";")[0].strip().lower()
    encoding = (request.headers.get(_ENCODING) or "identity").strip().lower()
    if declared not in (*_LINE_TYPES, *_GZIP_TYPES):
        raise UnsupportedMediaType(f"Send {NDJSON} or application/gzip.")
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise UnsupportedMediaType("The only Content-Encoding read here is gzip.")
    if declared in _GZIP_TYPES and encoding != "identity":
        raise UnsupportedMediaType("The body is declared to be compressed twice.")
    return declared, declared in _GZIP_TYPES or encoding != "identity"


def _new_import_id(env: Env) -> str:
    stamp = datetime.fromtimestamp(env.tools.now(), UTC).strftime("%Y%m%d%H%M%S")
    return f"imp_{stamp}_{env.tools.random_bytes(8).hex()}"


def _import_id(text: str) -> str:
    if not _IMPORT_ID.fullmatch(text):
        raise BadRequest(
            "id must be imp_, 14 digits, _ and 6 to 32 lower-case letters or digits, "
            "e.g. imp_20261121080000_a1b2c3."
        )
    return text


def _note(text: str | None, name: str) -> str | None:
    if text is not None and not _NOTE.fullmatch(text):
        raise BadRequest(f"{name} may have at most 200 printable ASCII characters.")
    return text
