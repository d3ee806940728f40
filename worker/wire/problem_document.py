"""How a refusal is written: an RFC 9457 document."""

import json
from typing import Any

from worker.errors import Problem

PROBLEM_JSON = "application/problem+json; charset=utf-8"


def document(problem: Problem, request_id: str) -> dict[str, Any]:
    """Return *problem* as the members of an RFC 9457 document."""
    members: dict[str, Any] = {
        "type": f"urn:edgekeep:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "error": problem.code,
        "request_id": request_id,
    }
    if problem.detail:
        members["detail"] = problem.detail
    if problem.errors:
        members["errors"] = list(problem.errors)
    return {**members, **problem.members}


def encode(problem: Problem, request_id: str) -> bytes:
    """Return the document's bytes (UTF-8 JSON)."""
    return json.dumps(
        document(problem, request_id), separators=(",", ":"), ensure_ascii=False
    ).encode()
