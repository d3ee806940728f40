"""What a server answers, read with care: JSON of bounded size, and problem documents (RFC 9457)."""

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_MOST_BYTES: Final = 1 << 16


async def read_object(answer: "ClientResponse") -> dict[str, Any]:
    """Return the JSON object that *answer* holds; {} for anything else and above 64 KiB."""
    text = bytearray()
    async for block in answer.content.iter_chunked(_MOST_BYTES):
        text += block
        if len(text) > _MOST_BYTES:
            return {}
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


async def read_problem(answer: "ClientResponse") -> dict[str, Any]:
    """Return the problem document of *answer*; one made of its status line when it has none."""
    return {"title": answer.reason or "no reason given", **await read_object(answer)}


def sentence(status: int, problem: dict[str, Any]) -> str:
    """Say what the *problem* document of an answer says."""
    said = (problem.get("title"), problem.get("detail"))
    text = ": ".join(part.rstrip(".") for part in said if isinstance(part, str) and part)
    if status < 500:
        return f"{text} (HTTP {status})."
    where = f", request {problem['request_id']}" if "request_id" in problem else ""
    return f"{text} (HTTP {status}{where}); the server's log says more."
