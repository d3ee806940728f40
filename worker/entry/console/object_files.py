"""R2 objects as files: a safe name to save one under, and a file of any length into a bucket."""

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from r2.contract import R2Bucket, R2UploadedPart
from r2.limits import MIN_PART_BYTES

_NAME_CHARS: Final = 120
# Controls, characters without width, marks that turn the direction of text ("gpj.exe"), and what
# a file system or a header reads in its own way.
_UNSAFE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    r'"*/:<>?\\|]'
)
# RFC 8187 §3.2.1: what stands for itself in an extended value.
_ATTR_CHARS: Final = "!#$&+-.^_`|~"


def attachment(key: str) -> str:
    """
    Return a Content-Disposition that saves the object *key* under its last part.

    RFC 6266 §4.3: a plain name for all, and the exact one in UTF-8 for those that read it.
    """
    name = _UNSAFE.sub("_", key.rstrip("/").rpartition("/")[2]).strip(" .")[:_NAME_CHARS]
    name = name.strip(" .") or "object"
    # RFC 6266 appendix D: a percent sign in the plain name is decoded by some browsers.
    plain = re.sub(r"[^\x20-\x7e]|%", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


async def store(
    bucket: R2Bucket, key: str, chunks: AsyncIterator[bytes], content_type: str | None
) -> int:
    """
    Store *chunks* under *key* and return how many bytes they were.

    A form does not tell how long its file is, and R2 takes no stream of unknown length: so up to
    5 MiB are collected and put at once, more goes as an upload in parts of 5 MiB. Nothing is seen
    under *key* before the end. Raises `R2Error` and what *chunks* raise.
    """
    metadata = {"content_type": content_type} if content_type else None
    pieces = _pieces(chunks)
    first = await anext(pieces, b"")
    if len(first) < MIN_PART_BYTES:
        await bucket.put(key, first, http_metadata=metadata)
        return len(first)
    upload = await bucket.create_multipart_upload(key, http_metadata=metadata)
    parts: list[R2UploadedPart] = []
    size = 0
    try:
        piece = first
        while piece:
            parts.append(await upload.upload_part(len(parts) + 1, piece))
            size += len(piece)
            piece = await anext(pieces, b"")
        await upload.complete(parts)
    except BaseException:
        # What stands in the way of the upload matters more than its remains, which R2 drops.
        with contextlib.suppress(Exception):
            await upload.abort()
        raise
    return size


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield *chunks* in pieces of exactly the size of a part; the last may be shorter."""
    collected = bytearray()
    async for chunk in chunks:
        collected += chunk
        while len(collected) >= MIN_PART_BYTES:
            piece = bytes(memoryview(collected)[:MIN_PART_BYTES])
            del collected[:MIN_PART_BYTES]
            yield piece
    if collected:
        yield bytes(collected)
