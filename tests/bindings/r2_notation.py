"""
Python results in the notation of the golden transcripts (golden/probe/lib.js).

What a Python contract does otherwise everywhere is settled here, once: None stands for
undefined and null, names are snake_case, bytes are ArrayBuffer, ValueError is RangeError.
Two values differ in every run and are masked: the time of upload and the version.
"""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime
from typing import Any

from r2.contract import (
    BodyStream,
    R2Checksums,
    R2Error,
    R2HttpMetadata,
    R2Object,
    R2ObjectBody,
    R2Objects,
    R2Range,
    R2UploadedPart,
)

_MASKED = {"uploaded": "«time»", "version": "«32 hex»"}


def camel(name: str) -> str:
    """Return a Python name as Cloudflare spells it."""
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def write(value: Any) -> Any:
    """Return *value* as the probe would have written it."""
    if isinstance(value, R2Object):
        return _write_object(value)
    if isinstance(value, R2Checksums):
        return {"«c»": "Checksums", **_fields(value)}
    if isinstance(value, R2HttpMetadata | R2Range | R2Objects | R2UploadedPart):
        return _fields(value)
    if isinstance(value, bytes):
        return f"ArrayBuffer({len(value)})[{','.join(str(byte) for byte in value[:16])}]"
    if isinstance(value, datetime):
        return f"Date({value.isoformat(timespec='milliseconds').replace('+00:00', 'Z')})"
    if isinstance(value, BodyStream):
        return "«ReadableStream»"
    if isinstance(value, list | tuple):
        return [write(item) for item in value]
    if isinstance(value, dict):
        return {name: write(item) for name, item in value.items() if item is not None}
    return value


def _write_object(value: R2Object) -> dict[str, Any]:
    fields = _fields(value) | {"httpEtag": value.http_etag}
    assert re.fullmatch("[0-9a-f]{32}", value.version)
    kind = "HeadResult"
    if isinstance(value, R2ObjectBody):
        kind = "GetResult"
        fields["bodyUsed"] = value.body_used
    return {"«c»": kind, **fields, **_MASKED}


def _fields(value: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(value)]
    values = {camel(name): write(getattr(value, name)) for name in names}
    return {name: item for name, item in values.items() if item is not None}


def write_error(error: Exception) -> list[str]:
    """Return class and message as the probe would have written them."""
    if isinstance(error, R2Error):
        return ["Error", str(error)]
    if isinstance(error, ValueError):
        # The runtime throws a plain Error for one thing only: an unreadable etag header.
        return ["Error" if "header" in str(error) else "RangeError", str(error)]
    return [type(error).__name__, str(error)]


def read_golden(value: Any) -> Any:
    """Return a golden result with undefined dropped and the masked values masked."""
    if value == "«undefined»":
        return None
    if isinstance(value, list):
        return [read_golden(item) for item in value]
    if isinstance(value, dict):
        read = {name: read_golden(item) for name, item in value.items()}
        kept = {name: item for name, item in read.items() if item is not None}
        return kept | _MASKED if "httpEtag" in kept else kept
    return value
