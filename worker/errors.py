"""
Refusals that any slice may give: one class per meaning, rendered in one place.

What one slice alone refuses stands in its own errors.py. Handlers raise;
`worker.wire.problem_document` makes an RFC 9457 document of it. `code` is stable, a string, and
listed in docs/errors.md; clients of the seeds read it as the member `error`. A detail never quotes
what the client sent: it may be a secret or somebody's personal data.
"""

from collections.abc import Mapping, Sequence
from typing import Any


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """
    The root of all refusals; never raised itself.

    *detail* is a sentence for a person, *errors* a list of field or line errors, *members* further
    members of the document (RFC 9457 §3.2), *headers* go out with the answer.
    """

    status = 500
    code = "internal_error"
    title = "Something went wrong on our side"

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.members = members or {}
        self.headers = headers or {}


class InternalError(Problem):
    """An exception nobody expected; the answer carries the request id and nothing else."""


class BadRequest(Problem):
    """The request cannot be understood as sent."""

    status, code, title = 400, "bad_request", "The request is not valid"


class InvalidCursor(BadRequest):
    """A paging cursor was altered, made for another list, or signed with a retired key."""

    code, title = "invalid_cursor", "The cursor is not valid"


class IncompleteBody(BadRequest):
    """The connection ended before the body did."""

    code, title = "incomplete_body", "The body ended too early"


class BrokenCompression(BadRequest):
    """The body claims to be gzip and is not, or ends in the middle of it."""

    code, title = "broken_gzip", "The gzip data is damaged"


class Unauthorized(Problem):
    """No credential, or one that does not hold."""

    status, code, title = 401, "unauthorized", "Sign in first"


class RefreshReused(Unauthorized):
    """A refresh token was shown a second time, so two hold it: the session has ended."""

    code, title = "refresh_reused", "Sign in again"


class Forbidden(Problem):
    """A good credential that does not allow this."""

    status, code, title = 403, "forbidden", "Not allowed"


class CsrfFailed(Forbidden):
    """A change that a cookie was to allow, without the proof that our own page asked for it."""

    code, title = "csrf_failed", "The request does not come from our own page"


class OriginNotAllowed(Forbidden):
    """A browser asks before a page of an origin that CORS_ORIGINS does not list calls."""

    code, title = "origin_not_allowed", "Pages of this origin may not call"


class SignInAgain(Forbidden):
    """This needs a sign-in of the last minutes, not only a session."""

    code, title = "sign_in_again", "Sign in again to do this"


class NotFound(Problem):
    """There is no such thing, or it is not the caller's to see."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(Problem):
    """The path exists, the method does not; Allow names those that do."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class Conflict(Problem):
    """The request collides with the present state."""

    status, code, title = 409, "conflict", "Conflict"


class KeyInUse(Conflict):
    """A request with the same Idempotency-Key is still running."""

    code, title = "idempotency_key_in_use", "A request with this key is still running"


class RequestTimeout(Problem):
    """The body did not arrive in the time it may take."""

    status, code, title = 408, "request_timeout", "The upload took too long"


class LengthRequired(Problem):
    """The body came without its Content-Length."""

    status, code, title = 411, "length_required", "Content-Length is missing"


class PayloadTooLarge(Problem):
    """The body, or what it decompresses to, passes the limit."""

    status, code, title = 413, "payload_too_large", "Too large"


class QuotaExceeded(PayloadTooLarge):
    """The account may not hold so much; members say what it holds and what it may."""

    code, title = "quota_exceeded", "You hold as much as you may"


class UnsupportedMediaType(Problem):
    """The Content-Type or Content-Encoding is not one this route reads."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class RangeNotSatisfiable(Problem):
    """Range names a part that is not there."""

    status, code, title = 416, "range_not_satisfiable", "There is no such part"


class HostNotAllowed(Problem):
    """In development: asked under a name that is none of this host's; see ALLOWED_HOSTS."""

    status, code, title = 421, "host_not_allowed", "This host does not answer to this name"


class ExpectationFailed(Problem):
    """The request expects something else than 100-continue (RFC 9110 §10.1.1)."""

    status, code, title = 417, "expectation_failed", "Nobody here can do what is expected"


class Unprocessable(Problem):
    """Understood, and refused for what it says."""

    status, code, title = 422, "unprocessable", "The content was refused"


class KeyReused(Unprocessable):
    """The Idempotency-Key was used before with a different body."""

    code, title = "idempotency_key_reused", "This key was used with another body"


class RateLimited(Problem):
    """Too many requests, or too many failed sign-ins; Retry-After says when to come back."""

    status, code, title = 429, "rate_limited", "Too many requests"


class UpgradeRequired(Problem):
    """A WebSocket door was asked without an upgrade."""

    status, code, title = 426, "upgrade_required", "Connect with a WebSocket"


class NotOpenYet(Problem):
    """The door is planned and nothing stands behind it in this version."""

    status, code, title = 501, "not_open_yet", "This door is not open yet"


class StorageUnavailable(Problem):
    """A store refused or timed out, or an object was reset; the request may be sent again."""

    status, code, title = 503, "storage_unavailable", "The store is not available"

    def __init__(
        self,
        detail: str = "",
        *,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, members=members, headers={"Retry-After": "2", **(headers or {})})


class Busy(Problem):
    """More expensive work waits than this host can do soon; Retry-After says when to try again."""

    status, code, title = 503, "busy", "Too busy at this moment"


class StorageFull(Problem):
    """This deployment's disk is full: its people can read and delete, and store nothing more."""

    status, code, title = 507, "storage_full", "The store is full"


class MailUnavailable(Problem):
    """This deployment has no way to send mail."""

    status, code, title = 503, "mail_unavailable", "No mail can be sent"
