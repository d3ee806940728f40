"""Encodings used everywhere: base64url, canonical JSON, time-ordered ids, signed cursors."""

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

_MAC_BYTES = 16


def b64url(data: bytes) -> str:
    """Encode as base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    """Decode base64url without padding; raises ValueError on anything else."""
    if "=" in text or not text.isascii():
        raise ValueError("not base64url")
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if b64url(decoded) != text:
        raise ValueError("not canonical base64url")
    return decoded


def unb64(text: str) -> bytes:
    """Decode plain base64, its padding there or not; raises ValueError on anything else."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


def unb64_either(text: str) -> bytes:
    """Decode as `unb64` does, base64url too: for formats whose writers use both alphabets."""
    return unb64(text.replace("-", "+").replace("_", "/"))


def canonical_json(value: Any) -> bytes:
    """Encode *value* as compact UTF-8 JSON with sorted member names: equal values, equal bytes."""
    return json.dumps(
        value, separators=(",", ":"), ensure_ascii=False, sort_keys=True, allow_nan=False
    ).encode()


def iso_time(epoch_seconds: float) -> str:
    """Write a moment as ISO 8601 UTC with milliseconds, e.g. 2026-11-21T08:00:00.000Z."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def uuid7(now_ms: int, random: bytes) -> str:
    """Return a time-ordered id (RFC 9562 §5.7) of a moment and 10 random bytes."""
    head = (now_ms & (1 << 48) - 1).to_bytes(6)
    tail = bytearray(random)
    tail[0] = 0x70 | tail[0] & 0x0F
    tail[2] = 0x80 | tail[2] & 0x3F
    text = (head + tail).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def seal_cursor(key: bytes, purpose: str, position: Any) -> str:
    """
    Make an opaque cursor that only this deployment can make, bound to the list named *purpose*.

    *position* is JSON-like. Nothing in it is secret: the seal stops tampering, not reading.
    """
    body = canonical_json(position)
    return b64url(_mac(key, purpose, body) + body)


def open_cursor(key: bytes, purpose: str, cursor: str) -> Any:
    """Return the position that `seal_cursor` was given; raises ValueError for any other text."""
    sealed = unb64url(cursor)
    mac, body = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, purpose, body)):
        raise ValueError("the seal is broken")
    return json.loads(body)


def _mac(key: bytes, purpose: str, body: bytes) -> bytes:
    return hmac.new(key, purpose.encode() + b"\0" + body, hashlib.sha256).digest()[:_MAC_BYTES]
