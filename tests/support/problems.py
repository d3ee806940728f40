"""The one shape of a refusal (RFC 9457 and DESIGN §9), asserted in one place."""

from collections.abc import Collection
from typing import Any, Protocol

_ALWAYS = {"type", "title", "status", "error", "request_id"}


class Answered(Protocol):
    """What is needed of an answer."""

    status: int

    @property
    def headers(self) -> Any:
        """The answer's headers."""

    def json(self) -> Any:
        """The answer's body as JSON."""


def assert_problem(
    answer: Answered,
    status: int,
    error: str,
    *,
    members: Collection[str] = (),
    replayed: bool = False,
) -> dict[str, Any]:
    """
    Assert that *answer* is the problem document *error* with *status*, and return it.

    *members* are the further members that this refusal carries; any other is a leak. A *replayed*
    answer keeps the request id of the first.
    """
    assert answer.status == status, answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    document: dict[str, Any] = answer.json()
    assert document["error"] == error, document
    assert document["type"] == f"urn:edgekeep:problem:{error}"
    assert document["status"] == status
    assert isinstance(document["title"], str)
    assert document["title"]
    assert isinstance(document.get("detail", "x"), str)
    assert document.get("detail", "x")
    assert _ALWAYS <= set(document) <= _ALWAYS | {"detail", *members}, sorted(document)
    if not replayed:
        assert document["request_id"] == answer.headers["X-Request-Id"]
    return document
