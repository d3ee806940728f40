"""Import reports: what an import did, line by line where it failed (seed §3.1, facts 2.002)."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worker.codec import iso_time
from worker.limits import ERRORS_IN_ANSWER, ERRORS_PER_LINE
from worker.profiles.errors import NothingImported
from worker.schema_check import Violation
from worker.web import Response
from worker.wire.problem_document import PROBLEM_JSON, document

# Errors kept in a report: an actor's values end at 2 MB, and one error takes up to 250 bytes.
ERRORS_IN_REPORT = 5_000

# Repeated ids named in a report: 100 bytes each.
DUPLICATES_IN_REPORT = 2_000

# What a report can say of an import.
RUNNING = "running"  # lines are being read
COMMITTING = "committing"  # every line was read and judged; the staged ones are being stored
DONE = "done"
REFUSED = "refused"  # nothing was stored: no valid line, or an invalid one in atomic mode
FAILED = "failed"  # it broke off or was abandoned (`failure`); the counts say what was stored
INTERRUPTED = "interrupted"  # the server stopped in the middle


@dataclass(slots=True)
class Plan:
    """
    What the request asked for, as plain data that can travel to an actor.

    *principal* names the idempotency box of who asked, *box* the key there (both are digests).
    """

    import_id: str
    principal: str
    received_content_type: str
    gzip: bool
    atomic: bool
    checksum_sha256: str | None
    box: str | None
    idempotency_key: str | None
    shard_id: str | None
    notes: str | None
    # Whether the client chose the id, which may then have been used before.
    chosen: bool = False

    @property
    def staged(self) -> bool:
        """Whether nothing may be stored before the whole body was seen."""
        return self.atomic or self.checksum_sha256 is not None


class Duplicate(NamedTuple):
    """A valid line whose profile a later line of the same import replaced."""

    line_no: int
    replaced_by: int


@dataclass(slots=True)
class Tally:
    """The running counts of one import."""

    bytes_read: int = 0
    lines_total: int = 0
    lines_valid: int = 0
    lines_invalid: int = 0
    profiles_stored: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    errors_total: int = 0
    duplicates: list[Duplicate] = field(default_factory=list)
    duplicates_total: int = 0

    def repeat(self, found: list[Duplicate]) -> None:
        """Count lines that were replaced, and name them within the limit."""
        self.duplicates_total += len(found)
        self.duplicates += found[: DUPLICATES_IN_REPORT - len(self.duplicates)]

    def refuse(self, line_no: int, violations: list[Violation]) -> None:
        """Count line *line_no* as invalid and keep what is wrong with it, within the limits."""
        self.lines_invalid += 1
        self.errors_total += len(violations)
        room = ERRORS_IN_REPORT - len(self.errors)
        for violation in violations[: min(room, ERRORS_PER_LINE)]:
            self.errors.append(
                {
                    "line_no": line_no,
                    "status": 422,
                    "path": violation.path,
                    "error_code": violation.rule,
                    "message": violation.message,
                }
            )

    def counts(self) -> dict[str, int]:
        """Return the numbers that every report, answer and progress message carries."""
        return {
            "lines_total": self.lines_total,
            "lines_valid": self.lines_valid,
            "lines_invalid": self.lines_invalid,
            "profiles_stored": self.profiles_stored,
        }


def make_report(
    plan: Plan, tally: Tally, state: str, started_ms: int, now_ms: int, **members: Any
) -> dict[str, Any]:
    """Return the report document; *members* add `status` or `failure`."""
    return {
        "import_id": plan.import_id,
        "state": state,
        "mode": "atomic" if plan.atomic else "partial",
        "received_content_type": plan.received_content_type,
        "idempotency_key": plan.idempotency_key,
        "checksum_sha256": plan.checksum_sha256,
        "shard_id": plan.shard_id,
        "notes": plan.notes,
        "started_at": iso_time(started_ms / 1000),
        "updated_at": iso_time(now_ms / 1000),
        "bytes_read": tally.bytes_read,
        **tally.counts(),
        **members,
        "errors": tally.errors,
        "errors_total": tally.errors_total,
        "errors_truncated": tally.errors_total > len(tally.errors),
        "duplicates": [Duplicate(*one)._asdict() for one in tally.duplicates],
        "duplicates_total": tally.duplicates_total,
    }


def answer(report: dict[str, Any], request_id: str) -> Response:
    """
    Return the answer to the import that *report* describes.

    200 when every line was stored, 207 when some were, 422 (also a problem document) when none.
    """
    members = {
        name: report[name]
        for name in (
            "import_id",
            "received_content_type",
            "idempotency_key",
            "checksum_sha256",
            "shard_id",
            "notes",
            "lines_total",
            "lines_valid",
            "lines_invalid",
            "profiles_stored",
        )
    }
    status = report["status"]
    if status != 200:
        members["errors_sample"] = report["errors"][:ERRORS_IN_ANSWER]
        members["errors_truncated"] = report["errors_total"] > len(members["errors_sample"])
    if status != 422:
        return Response.json(members, status)
    problem = NothingImported(_why(report), errors=members["errors_sample"], members=members)
    return Response.json(document(problem, request_id), 422, {"Content-Type": PROBLEM_JSON})


def _why(report: dict[str, Any]) -> str:
    if report["lines_total"] == 0:
        return "The body holds no line."
    if report.get("seems"):
        return str(report["seems"])
    if report["lines_valid"] == 0:
        return "No line is a valid profile; the errors say why."
    return "In atomic mode one invalid line refuses the whole import; nothing was stored."


def status_of(plan: Plan, tally: Tally) -> int:
    """Return 200, 207 or 422 (facts X21)."""
    if tally.lines_valid == 0 or (plan.atomic and tally.lines_invalid):
        return 422
    return 207 if tally.lines_invalid else 200
