"""
Every refusal the Worker can give: one class per meaning, rendered in one place.

Handlers raise; `worker.wire.problem_document` makes an RFC 9457 document of it. `code` is stable, a
string, and listed in docs/errors.md; clients of the seeds read it as the member `error`.
A detail never quotes what the client sent: it may be a secret or somebody's personal data.
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


class InvalidLink(Unauthorized):
    """A link of a mail was altered, has expired, or was used."""

    code, title = "invalid_link", "This link does not hold"


class Forbidden(Problem):
    """A good credential that does not allow this."""

    status, code, title = 403, "forbidden", "Not allowed"


class CsrfFailed(Forbidden):
    """A change that a cookie was to allow, without the proof that our own page asked for it."""

    code, title = "csrf_failed", "The request does not come from our own page"


class OtherBrowser(Forbidden):
    """A link of a mail came from another browser than asked for it, and is not used up by that."""

    code, title = "other_browser", "Open the link in the browser that asked for it"


class OriginNotAllowed(Forbidden):
    """A browser asks before a page of an origin that CORS_ORIGINS does not list calls."""

    code, title = "origin_not_allowed", "Pages of this origin may not call"


class SignInAgain(Forbidden):
    """This needs a sign-in of the last minutes, not only a session."""

    code, title = "sign_in_again", "Sign in again to do this"


class NotFound(Problem):
    """There is no such thing, or it is not the caller's to see."""

    status, code, title = 404, "not_found", "Not found"


class BackupLost(NotFound):
    """There was a backup and its blob is gone; ETag names the version that an upload replaces."""

    code, title = "backup_lost", "The backup is lost"


class MethodNotAllowed(Problem):
    """The path exists, the method does not; Allow names those that do."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class Conflict(Problem):
    """The request collides with the present state."""

    status, code, title = 409, "conflict", "Conflict"


class UsernameTaken(Conflict):
    """The username, or one that folds to the same, belongs to somebody."""

    code, title = "username_taken", "This username is taken"


class IdentityTaken(Conflict):
    """The address or key is a way into another account."""

    code, title = "identity_taken", "This belongs to another account"


class LastIdentity(Conflict):
    """The only way into an account cannot be removed."""

    code, title = "last_identity", "This is the last way in"


class KeyInUse(Conflict):
    """A request with the same Idempotency-Key is still running."""

    code, title = "idempotency_key_in_use", "A request with this key is still running"


class ImportIdTaken(Conflict):
    """The import id that the client chose was used before."""

    code, title = "import_id_taken", "This import id is taken"


class RequestTimeout(Problem):
    """The body did not arrive in the time it may take."""

    status, code, title = 408, "request_timeout", "The upload took too long"


class BackupChanged(Conflict):
    """The backup is not the version that the client replaces; ETag names the one there is."""

    code, title = "backup_changed", "The backup has changed"


class BackupInUse(Conflict):
    """Another upload of this backup is under way."""

    code, title = "backup_in_use", "Another upload is under way"


class LengthRequired(Problem):
    """The body came without its Content-Length."""

    status, code, title = 411, "length_required", "Content-Length is missing"


class PrekeysExhausted(Problem):
    """No one-time prekey is left, so nothing was taken; `allow_no_otpk=1` does without."""

    status, code, title = 412, "prekeys_exhausted", "No one-time prekey is left"


class PayloadTooLarge(Problem):
    """The body, or what it decompresses to, passes the limit."""

    status, code, title = 413, "payload_too_large", "Too large"


class UnsupportedMediaType(Problem):
    """The Content-Type or Content-Encoding is not one this route reads."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class RangeNotSatisfiable(Problem):
    """Range names a part that is not there."""

    status, code, title = 416, "range_not_satisfiable", "There is no such part"


class Unprocessable(Problem):
    """Understood, and refused for what it says."""

    status, code, title = 422, "unprocessable", "The content was refused"


class KeyReused(Unprocessable):
    """The Idempotency-Key was used before with a different body."""

    code, title = "idempotency_key_reused", "This key was used with another body"


class ChecksumMismatch(Unprocessable):
    """X-Checksum-Sha256 is not the SHA-256 of the body as it arrived."""

    code, title = "checksum_mismatch", "The checksum does not match the body"


class NothingImported(Unprocessable):
    """No line of an import was valid, or an atomic import held an invalid line."""

    code, title = "import_refused", "Nothing was imported"


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
    """A store refused or timed out; the request may be sent again."""

    status, code, title = 503, "storage_unavailable", "The store is not available"


class Busy(Problem):
    """More expensive work waits than this host can do soon; Retry-After says when to try again."""

    status, code, title = 503, "busy", "Too busy at this moment"


class MailUnavailable(Problem):
    """This deployment has no way to send mail."""

    status, code, title = 503, "mail_unavailable", "No mail can be sent"
