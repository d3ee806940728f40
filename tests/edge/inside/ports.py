"""The edge's ambient ports as the suites call them: fetch and crypto. TEST ONLY."""

import sys
from typing import Any

from tests.support.crypto_vectors import Row, disagreements
from worker.entry.edge_crypto import EdgeCrypto
from worker.entry.edge_tools import EdgeTools
from worker.fetch import FetchFailed, Outgoing


async def fetch(url: str, members: dict[str, Any]) -> tuple[int, str] | str:
    """Return (status, body) of the answer, or the reason why there is none."""
    if isinstance(members.get("body"), str):
        members["body"] = members["body"].encode()
    try:
        answer = await EdgeTools(None).fetch(Outgoing(url, **members))
    except FetchFailed as error:
        return error.reason
    return answer.status, answer.body.decode()


async def vectors(kind: str, rows: list[Row], without: str = "") -> list[str]:
    """Return where the edge's crypto port disagrees with *rows*; the package *without* is away."""
    kept = sys.modules.pop(without, None)
    if without:
        sys.modules[without] = None  # type: ignore[assignment]  # importing it fails
    try:
        return await disagreements(EdgeCrypto, kind, rows)
    finally:
        sys.modules.pop(without, None)
        if kept is not None:
            sys.modules[without] = kept
