"""Vectors of other people's making, and where a crypto port disagrees with them."""

from collections.abc import Callable, Sequence
from typing import Any

from worker.crypto import Crypto, NotAuthentic, hkdf_sha256

Row = dict[str, Any]


async def disagreements(
    make: Callable[[Callable[[int], bytes]], Crypto], kind: str, rows: Sequence[Row]
) -> list[str]:
    """Return which *rows* of *kind* end otherwise in the port that *make* gives for a dice."""
    return [
        f"{kind} {row['id']}: {row['about']}" for row in rows if not await _agrees(make, kind, row)
    ]


async def _agrees(make: Callable[[Callable[[int], bytes]], Crypto], kind: str, row: Row) -> bool:
    data = {name: _bytes(value) for name, value in row.items() if isinstance(value, str)}
    crypto = make(lambda _count: data["nonce"])
    if kind == "hkdf-sha256":
        return hkdf_sha256(data["secret"], data["salt"], data["info"], row["length"]) == data["key"]
    if kind == "aes-gcm":
        return await _aes_gcm_agrees(crypto, data, row["good"])
    if kind == "ML-DSA-87":
        judged = crypto.verify_mldsa87(data["key"], data["message"], data["signature"])
    else:
        judged = crypto.verify_signature(kind, row["jwk"], data["message"], data["signature"])  # type: ignore[arg-type]
    return await judged == row["good"]


async def _aes_gcm_agrees(crypto: Crypto, data: dict[str, bytes], good: bool) -> bool:
    try:
        plain = await crypto.unseal(data["key"], data["sealed"], data["associated"])
    except NotAuthentic:
        return not good
    sealed = await crypto.seal(data["key"], data["plain"], data["associated"])
    return good and plain == data["plain"] and sealed == data["sealed"]


def _bytes(value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError:
        return b""  # a comment
